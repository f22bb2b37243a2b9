"""Tests of the tables of the tlsfuzzer suite, and of the parser of the scripts' output."""

import compare

SUMMARY = """Test end
TOTAL: 5
PASS: 3
FAIL: 2
====================
FAILED:
\t'two bytes long CCS'
\t"it's a name"
"""


def test_every_script_is_listed_once_and_has_a_server_or_a_reason():
    rows = compare.table("scripts.tsv")
    names = [row["script"] for row in rows]
    assert len(names) == len(set(names)) > 100
    for row in rows:
        # Either a kind of certificate or why not, and no arguments for what is not run.
        assert bool(row["excluded"]) != (row["key"] in compare.servers.NAMES), row
        assert not row["excluded"] or not (row["arguments"] or row["edgeseal"] or row["nginx"]), row


def test_every_conversation_belongs_to_a_script_that_is_run():
    run = {row["script"] for row in compare.table("scripts.tsv") if not row["excluded"]}
    for row in compare.table("conversations.tsv"):
        assert row["script"] in run and row["kind"] in ("excluded", "known") and row["reason"], row


def test_what_is_not_compared_is_run_all_the_same():
    run = {row["script"] for row in compare.table("scripts.tsv") if not row["excluded"]}
    for row in compare.table("uncompared.tsv"):
        assert row["script"] in run and row["reason"], row


def test_clean_scripts_are_counted_where_both_servers_can_do_them(capsys):
    good, bad = compare.Outcome(1, []), compare.Outcome(1, ["x"])
    outcomes = {(script, server): good for script in ("ccs", "tls13-mlkem") for server in compare.SERVERS}
    outcomes["tls13-mlkem", "nginx"] = bad
    assert compare.report(["ccs", "tls13-mlkem"], outcomes, [], []) == 2
    assert "clean: edgeseal 1, nginx 1 of 1" in capsys.readouterr().out


def test_the_summary_of_a_script():
    found = compare.outcome(SUMMARY)
    assert (found.total, found.failed) == (5, ["two bytes long CCS", "it's a name"])
    assert compare.outcome("TOTAL: 5\nFAIL: 0\n").failed == []
    assert compare.outcome("Traceback (most recent call last):\n").failed is None


def test_only_what_is_explained_is_excused():
    explained = [{"script": "a", "conversation": "pad (*) of 2**14", "kind": "known", "reason": "-"}]
    found = compare.Outcome(3, ["pad (1) of 2**14", "pad 1 of 2**14"])
    assert compare.unexplained("a", found, explained, {"excluded", "known"}) == ["pad 1 of 2**14"]
    assert compare.unexplained("a", found, explained, {"excluded"}) == found.failed
    assert compare.unexplained("b", found, explained, {"known"}) == found.failed
