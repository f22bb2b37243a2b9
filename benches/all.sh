#!/usr/bin/env bash
# Measures every figure of docs/internals/performance.md up to 100,000 domains, then prints one table: some 20
# minutes on two cores that do nothing else. ROUNDS (default 3) repeats what is short; SIZES chooses
# the numbers of domains. A million domains: benches/all.sh --million, some 15 minutes when its
# store has to be filled first.
set -u
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-3}
sizes=${SIZES:-1 1000 10000 100000}
figures=benches/out/figures.jsonl
failed=()

cargo build --release --locked -p edgeseal -p edgeseal-benches || exit
benches/peers.sh || exit
mkdir -p benches/out
touch "$figures"
since=$(wc -l <"$figures")

bench() {
    echo "== $*"
    target/release/edgeseal-benches "$@" || failed+=("$*")
}

if [ "${1:-}" = --million ]; then
    # Peers do not get there; nginx with one certificate is beside.
    bench --rounds 1 million --domains 1000000
else
    bench --rounds "$rounds" handshake
    bench --rounds "$rounds" proxied
    bench --rounds "$rounds" idle
    bench --rounds "$rounds" burst
    bench --rounds "$rounds" visible
    bench --rounds "$rounds" set-calls --clients 64
    for size in $sizes; do
        bench --rounds 1 million --domains "$size" --peers
    done
fi

benches/table.py --since "$since"
for one in "${failed[@]+"${failed[@]}"}"; do
    echo "FAILED: $one"
done
[ ${#failed[@]} = 0 ]
