//! `edgeseal nodes`

use clap::Args;
use serde_json::Value;

use super::{
    CliError, Connection, EDGESEAL_API_VERSION, output,
    output::{json_text, say},
};

#[derive(Args)]
pub(super) struct Command {
    #[command(flatten)]
    connection: Connection,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let reply = self
            .connection
            .call(EDGESEAL_API_VERSION, "DescribeNodes", &[])
            .await?;
        output::print_reply(&self.connection, &reply, || print(&reply.body))
    }
}

fn print(body: &Value) -> Result<(), CliError> {
    say!(
        "{} live nodes, {} silent",
        json_text(&body["LiveNodes"]),
        json_text(&body["SilentNodes"])
    )?;
    let rows = body["Nodes"].as_array().into_iter().flatten();
    let rows = rows.map(|node| {
        let text = |name: &str| json_text(&node[name]);
        let keys = node["KeyIds"].as_array().into_iter().flatten();
        let keys: Vec<String> = keys.map(json_text).collect();
        let keeper = (node["Keeper"] == true).then(|| "keeper".to_owned());
        let twin = node["Twin"].is_string();
        let twin = twin.then(|| format!("twin on {}", text("Twin")));
        let marks: Vec<String> = keeper.into_iter().chain(twin).collect();
        let is_known = !node["ReportAgeMs"].is_null();
        let if_known = |text: String| if is_known { text } else { String::new() };
        [
            text("NodeId"),
            text("Host"),
            text("Role"),
            text("Version"),
            text("State"),
            text("ApiAddress"),
            text("StartedAt"),
            if_known(format!("{} ({} ms)", text("LagRevisions"), text("LagMs"))),
            marks.join(", "),
            if_known(text("ClockOffsetMs")),
            keys.join(","),
        ]
    });
    output::print_table(
        [
            "NODE", "HOST", "ROLE", "VERSION", "STATE", "API", "STARTED", "LAG", "", "CLOCK MS",
            "KEYS",
        ],
        rows,
    )
}
