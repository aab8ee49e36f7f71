//! `rhapsode check`.

use std::process::ExitCode;

use clap::Args;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{ContentArrangement, Table};

use crate::app::checks::{self, Depth, Verdict};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Also list every setting with its value and where it comes from
    #[arg(long = "settings")]
    lists_settings: bool,
}

impl Check {
    pub(super) async fn run(&self, config: &Config) -> anyhow::Result<ExitCode> {
        let checks = checks::run(config, Depth::Thorough).await;
        let mut table = table(["", "what", "found"]);
        for check in &checks {
            let mark = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Fault => "FAULT",
            };
            table.add_row([mark, check.what, &check.detail]);
        }
        println!("{table}");
        if self.lists_settings {
            println!("{}", settings(config));
        }
        let faulty = checks.iter().any(|check| check.verdict == Verdict::Fault);
        Ok(if faulty { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn settings(config: &Config) -> Table {
    let mut table = table(["setting", "value", "from"]);
    for setting in config.settings() {
        table.add_row([setting.name, &setting.value, &setting.source.to_string()]);
    }
    table
}

pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_BORDERS_ONLY)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}
