//! What becomes of fetching, counted for `/metrics`: no hospital and no study is told. Images and bytes are counted where they
//! come in (the node's `meters.rs`), what waits is counted when it is asked for (the interface's).

use super::attempt::Ended;

pub fn tried(ended: &Ended) {
    let outcome = match ended {
        Ended::Whole(_) => "whole",
        Ended::Lacking(_) => "lacking",
        Ended::Broken(_) => "broken",
        Ended::Unreached(_) => "unreached",
        Ended::Failed(_) => "failed",
    };
    metrics::counter!("yingku_pulls_tried_total", "outcome" => outcome).increment(1);
}
