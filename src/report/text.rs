//! The report as people read it, and as tables take it in.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::{Came, Report};
use crate::table::printable;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Markdown, which is plain text as well.
    #[default]
    Text,
    Json,
    /// One line for each hospital and app.
    Csv,
}

const GIB: u64 = 1 << 30;

impl Report {
    pub fn written(&self, format: Format) -> serde_json::Result<String> {
        match format {
            Format::Text => Ok(self.text()),
            Format::Json => serde_json::to_string_pretty(self),
            Format::Csv => Ok(self.csv()),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "# 影像归档日报 {} (daily report)\n\n生成于 {}，节点 {}。推送数为当日首次推送的检查，括号内为前四周同一星期几的平均。\n",
            self.day, self.made, self.node
        );
        text += "\n## 医院 (hospitals)\n\n| 医院 | 推送 | 状况 | 申报 | 登记 | 报告已确认 | 缺口 | 缺影像 | 影像不全 | 待调取 | 调取已停 | 暂存影像 |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n";
        for one in &self.hospitals {
            let test = if one.test { "（测试）" } else { "" };
            let name = format!("{} {}{test}", one.hospital_code, one.hospital_name);
            let cells = [
                name,
                pushed(&one.came),
                one.came.silence.title().to_owned(),
                known(one.declared),
                one.registered.to_string(),
                one.confirmed.to_string(),
                known(one.missing),
                one.images_missing.to_string(),
                one.images_partly.to_string(),
                one.pulls_open.to_string(),
                one.pulls_stopped.to_string(),
                one.images_held.to_string(),
            ];
            row(&mut text, &cells);
        }
        text += "\n## 厂商应用 (apps)\n\n| 应用 | 医院 | 推送 | 状况 |\n|---|---|---|---|\n";
        for hospital in &self.hospitals {
            for app in &hospital.apps {
                let cells = [
                    app.app.clone(),
                    hospital.hospital_code.clone(),
                    pushed(&app.came),
                    app.came.silence.title().to_owned(),
                ];
                row(&mut text, &cells);
            }
        }
        text += "\n## 被拒 (refusals)\n\n本节点，按 UTC 日计（东八区 08:00 起至次日 08:00）。\n\n| 来源 | 医院 | 接口 | 规则 | 字段 | 次数 | 原因 |\n|---|---|---|---|---|---|---|\n";
        for one in &self.refusals {
            let cells = [
                one.source.clone(),
                one.hospital.clone(),
                one.operation.clone(),
                one.rule.clone(),
                one.path.clone(),
                one.count.to_string(),
                one.reason.clone(),
            ];
            row(&mut text, &cells);
        }
        text += "\n## 状态回传 (notices)\n\n| HIS | 待送 | 停发 |\n|---|---|---|\n";
        for one in &self.notices {
            let cells = [
                one.his.clone(),
                one.open.to_string(),
                one.stopped.to_string(),
            ];
            row(&mut text, &cells);
        }
        let unusual = self.unusual_readings.map_or_else(
            || "读不到调阅记录".to_owned(),
            |count| format!("{count} 条"),
        );
        let _ = write!(
            text,
            "\n## 异常调阅 (unusual reading)\n\n全部医院，按缺省限值：{unusual}；逐条见 `yingku audit unusual --from {} --to {}`。\n",
            self.day, self.day
        );
        let disk = &self.disk;
        let full = match (&disk.full_on, disk.in_object_store) {
            (_, true) => "影像在对象存储，本地只是副本".to_owned(),
            (Some(day), false) => format!("照此增长将于 {day} 写满 (full on that day)"),
            (None, false) => "照此增长十年内不会写满".to_owned(),
        };
        let _ = write!(
            text,
            "\n## 磁盘 (disk)\n\n可用 {:.1} GiB，近 {} 天增长 {:.1} GiB；{full}。\n",
            gib(disk.room_bytes),
            disk.of_days,
            gib(disk.grown_bytes)
        );
        text
    }

    fn csv(&self) -> String {
        let mut text = "\u{feff}日期,医院代码,医院名称,应用,推送,平均,状况,申报,登记,报告已确认,缺口,缺影像,影像不全,待调取,调取已停,暂存影像\r\n".to_owned();
        for one in &self.hospitals {
            let front = |app: &str, came: &Came| {
                let [name, app] = [&one.hospital_name, app].map(quoted);
                format!(
                    "{},{},{name},{app},{},{},{}",
                    self.day,
                    quoted(&one.hospital_code),
                    came.flow.today,
                    came.usual,
                    came.silence.title()
                )
            };
            let _ = write!(
                text,
                "{},{},{},{},{},{},{},{},{},{}\r\n",
                front("", &one.came),
                one.declared
                    .map(|count| count.to_string())
                    .unwrap_or_default(),
                one.registered,
                one.confirmed,
                one.missing
                    .map(|count| count.to_string())
                    .unwrap_or_default(),
                one.images_missing,
                one.images_partly,
                one.pulls_open,
                one.pulls_stopped,
                one.images_held
            );
            for app in &one.apps {
                let _ = write!(text, "{},,,,,,,,,\r\n", front(&app.app, &app.came));
            }
        }
        text
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / GIB as f64
}

fn pushed(came: &Came) -> String {
    format!("{} ({})", came.flow.today, came.usual)
}

fn known(count: Option<u32>) -> String {
    count.map_or_else(|| "未申报".to_owned(), |count| count.to_string())
}

/// A row of a table; what would end a cell does not.
fn row(text: &mut String, cells: &[String]) {
    for cell in cells {
        let cell = printable(cell.clone()).replace('|', "\\|");
        let _ = write!(text, "| {cell} ");
    }
    text.push_str("|\n");
}

/// A cell of RFC 4180 that no spreadsheet computes.
fn quoted(text: &str) -> String {
    let text = match text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        true => format!("'{text}"),
        false => text.to_owned(),
    };
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use yingku_core::supervision::daily::Flow;

    use super::super::{AppDay, Disk, HospitalDay, Notices, Refused};
    use super::*;

    fn report() -> Report {
        let flow = |today| Flow {
            today,
            weeks_before: [20; 4],
        };
        Report {
            day: "2026-07-04".to_owned(),
            made: "2026-07-05 07:00:00".to_owned(),
            node: 0,
            hospitals: vec![HospitalDay {
                hospital_code: "350006".to_owned(),
                hospital_name: "=示例,县医院".to_owned(),
                test: false,
                came: flow(0).into(),
                apps: vec![AppDay {
                    app: "demo-pacs".to_owned(),
                    came: flow(0).into(),
                }],
                declared: Some(5),
                registered: 3,
                confirmed: 2,
                missing: Some(3),
                images_missing: 1,
                images_partly: 0,
                pulls_open: 7,
                pulls_stopped: 0,
                images_held: 9,
            }],
            refusals: vec![Refused {
                source: "app:demo-pacs".to_owned(),
                hospital: "350006".to_owned(),
                operation: "/v1/exam/push".to_owned(),
                rule: "code".to_owned(),
                path: "examInfo.examStatus".to_owned(),
                count: 12,
                reason: "a|b\nc".to_owned(),
            }],
            notices: vec![Notices {
                his: "demo-his".to_owned(),
                open: 4,
                stopped: 1,
            }],
            unusual_readings: Some(2),
            disk: Disk {
                room_bytes: 10 * GIB,
                grown_bytes: GIB / 2,
                of_days: 14,
                full_on: Some("2027-04-10".to_owned()),
                in_object_store: false,
            },
        }
    }

    #[test]
    fn a_report_is_read_in_chinese_and_every_table_keeps_its_columns() {
        let text = report().text();
        for said in [
            "| 350006 =示例,县医院 | 0 (20) | 静默 | 5 | 3 | 2 | 3 | 1 | 0 | 7 | 0 | 9 |",
            "| demo-pacs | 350006 | 0 (20) | 静默 |",
            "| code | examInfo.examStatus | 12 | a\\|b c |",
            "| demo-his | 4 | 1 |",
            "按缺省限值：2 条；逐条见 `yingku audit unusual --from 2026-07-04 --to 2026-07-04`",
            "可用 10.0 GiB，近 14 天增长 0.5 GiB；照此增长将于 2027-04-10 写满",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
    }

    #[test]
    fn a_report_s_lines_compute_nothing_in_a_spreadsheet() {
        let csv = report().csv();
        let mut lines = csv.lines().skip(1);
        assert_eq!(
            lines.next(),
            Some("2026-07-04,350006,\"'=示例,县医院\",,0,20,静默,5,3,2,3,1,0,7,0,9")
        );
        assert_eq!(
            lines.next(),
            Some("2026-07-04,350006,\"'=示例,县医院\",demo-pacs,0,20,静默,,,,,,,,,")
        );
    }
}
