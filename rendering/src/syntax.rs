//! What cannot be shown, in words: transfer syntaxes without a codec here, and SOP classes that are no images.

/// Compressed transfer syntaxes that have a codec here.
pub fn is_decoded(uid: &str) -> bool {
    matches!(
        uid,
        // JPEG baseline and extended, lossless and lossless of first order; RLE; JPEG 2000 and its lossless kind.
        "1.2.840.10008.1.2.4.50"
            | "1.2.840.10008.1.2.4.51"
            | "1.2.840.10008.1.2.4.57"
            | "1.2.840.10008.1.2.4.70"
            | "1.2.840.10008.1.2.5"
            | "1.2.840.10008.1.2.4.90"
            | "1.2.840.10008.1.2.4.91"
    )
}

/// The name of a transfer syntax that has no codec here, as people know it (PS3.6 table A-1).
pub fn name_of(uid: &str) -> &'static str {
    match uid {
        "1.2.840.10008.1.2.4.80" => "JPEG-LS 无损",
        "1.2.840.10008.1.2.4.81" => "JPEG-LS 近无损",
        "1.2.840.10008.1.2.4.92" | "1.2.840.10008.1.2.4.93" => "JPEG 2000 Part 2",
        "1.2.840.10008.1.2.4.94" | "1.2.840.10008.1.2.4.95" => "JPIP",
        "1.2.840.10008.1.2.4.110" | "1.2.840.10008.1.2.4.111" | "1.2.840.10008.1.2.4.112" => {
            "JPEG XL"
        }
        "1.2.840.10008.1.2.4.201" | "1.2.840.10008.1.2.4.202" | "1.2.840.10008.1.2.4.203" => {
            "HTJ2K"
        }
        video if is_video(video) => "视频",
        _ => "未知",
    }
}

/// MPEG-2, MPEG-4 and HEVC: their one fragment is no picture.
fn is_video(uid: &str) -> bool {
    let last = uid.strip_prefix("1.2.840.10008.1.2.4.");
    let number = last.and_then(|last| last.split('.').next()?.parse().ok());
    number.is_some_and(|number: u32| (100..=108).contains(&number))
}

/// What an instance without pixels is, by its SOP class (PS3.4 table B.5-1).
pub fn document_name(sop_class: &str) -> &'static str {
    let Some(class) = sop_class.strip_prefix("1.2.840.10008.5.1.4.1.1.") else {
        return "文档";
    };
    match class {
        "88.59" => "关键图像选择",
        "104.1" => "PDF 文档",
        "104.2" => "CDA 文档",
        _ if class.starts_with("88.") => "结构化报告",
        _ if class.starts_with("11.") => "显示状态",
        _ if class.starts_with("9.") => "波形",
        _ if class.starts_with("481.") => "放疗数据",
        _ => "非图像对象",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shown_has_a_name() {
        assert_eq!(name_of("1.2.840.10008.1.2.4.80"), "JPEG-LS 无损");
        assert_eq!(name_of("1.2.840.10008.1.2.4.103"), "视频");
        assert_eq!(name_of("1.2.840.10008.1.2.4.102.1"), "视频");
        assert!(!is_video("1.2.840.10008.1.2.4.90"));
        assert_eq!(document_name("1.2.840.10008.5.1.4.1.1.88.33"), "结构化报告");
        assert_eq!(document_name("1.2.840.10008.5.1.4.1.1.104.1"), "PDF 文档");
        assert_eq!(document_name("1.3.46"), "文档");
    }
}
