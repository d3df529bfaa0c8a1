//! Whatever there is to draw: nothing is wider than it may be, nothing overlaps, nothing breaks out.

use std::time::Duration;

use proptest::prelude::*;

use super::measure::{columns, ems, width};
use super::*;

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,12}",
        "[a-zW ]{20,90}",
        Just("世界の終わりまで待つ長い名前の手順がここにある".to_owned()),
        Just("</text><script>alert('&')\"\u{1b}[31m\n\u{202e}".to_owned()),
        Just(String::new()),
    ]
}

fn instant() -> impl Strategy<Value = Duration> {
    prop_oneof![0..40u64, 0..40_000u64, 0..400_000_000u64].prop_map(Duration::from_millis)
}

fn bar() -> impl Strategy<Value = Bar> {
    (0..Kind::ALL.len(), instant(), instant()).prop_map(|(kind, a, b)| Bar {
        kind: Kind::ALL[kind],
        from: a.min(b),
        until: a.max(b),
    })
}

fn row() -> impl Strategy<Value = Row> {
    let curve = proptest::collection::vec((instant(), 0..9u64), 0..4);
    let bars = proptest::collection::vec(bar(), 0..4);
    let ticks = proptest::collection::vec(instant(), 0..3);
    (name(), 0..4usize, bars, ticks, curve, name()).prop_map(|(label, depth, bars, ticks, mut curve, says)| {
        curve.sort();
        Row { label, depth, bars, ticks, curve, says }
    })
}

fn picture() -> impl Strategy<Value = Picture> {
    let kinds = [MarkKind::Event, MarkKind::Deadline, MarkKind::Kill];
    let mark = (instant(), 0..3usize, name()).prop_map(move |(at, kind, label)| Mark { at, kind: kinds[kind], label });
    let remark = (name(), name()).prop_map(|(text, help)| Remark { weight: Weight::Warning, text, help });
    let rows = proptest::collection::vec(row(), 0..12);
    let marks = proptest::collection::vec(mark, 0..5);
    let remarks = proptest::collection::vec(remark, 0..3);
    (name(), name(), instant(), rows, marks, remarks).prop_map(|(title, subtitle, end, rows, marks, remarks)| Picture {
        title,
        subtitle,
        end,
        rows,
        marks,
        remarks,
    })
}

/// Left, right, base line and words of each text.
fn texts(svg: &str) -> Vec<(f64, f64, f64, String)> {
    let attribute = |element: &str, name: &str| {
        let rest = element.split(&format!(" {name}=\"")).nth(1)?;
        rest.split('"').next().map(str::to_owned)
    };
    let number = |element: &str, name: &str| attribute(element, name).and_then(|n| n.parse::<f64>().ok()).unwrap();
    let element = |line: &str| {
        let (head, rest) = line.strip_prefix("<text")?.split_once('>')?;
        let words = rest.strip_suffix("</text>").unwrap();
        let words = words.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        let class = attribute(head, "class").unwrap_or_default();
        let size = if class.contains("small") {
            11.0
        } else if class.contains("title") {
            15.0
        } else {
            12.0
        };
        let (x, length) = (number(head, "x"), width(&words, ems) * size);
        let left = match attribute(head, "text-anchor").as_deref() {
            Some("middle") => x - length / 2.0,
            Some("end") => x - length,
            _ => x,
        };
        Some((left, left + length, number(head, "y"), words))
    };
    svg.lines().filter_map(element).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_line_of_text_is_wider_than_it_may_be_and_none_drives_the_terminal(
        picture in picture(), width in 40usize..200, unicode: bool, colour: bool,
    ) {
        let plain = picture.text(Style { width, unicode, colour: false });
        for line in plain.lines() {
            let wide: f64 = line.chars().map(columns).sum();
            prop_assert!(wide as usize <= width, "{wide} of {width}: {line:?}");
            prop_assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
            prop_assert!(unicode || line.is_ascii(), "{line:?}");
        }
        let coloured = picture.text(Style { width, unicode, colour });
        let mut bare = String::new();
        let mut parts = coloured.split('\x1b');
        bare.push_str(parts.next().unwrap_or_default());
        for part in parts {
            bare.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
        }
        prop_assert_eq!(bare, plain, "colours change nothing else");
    }

    #[test]
    fn no_text_of_an_svg_overlaps_another_or_leaves_the_page(picture in picture()) {
        let svg = picture.svg();
        let texts = texts(&svg);
        prop_assert_eq!(texts.len(), svg.matches("<text").count());
        for (n, (left, right, y, words)) in texts.iter().enumerate() {
            prop_assert!(*left >= 0.0 && *right <= 900.0 + 0.1, "{left} to {right}: {words:?}");
            for (other_left, other_right, other_y, other) in &texts[n + 1..] {
                let beside = right <= &(other_left + 0.1) || other_right <= &(left + 0.1);
                prop_assert!(beside || (y - other_y).abs() >= 12.0, "{words:?} at {y} and {other:?} at {other_y}");
            }
        }
    }

    #[test]
    fn the_last_instant_of_an_axis_stays_on_the_page(ms in 1u64..100_000) {
        let svg = Picture { title: "a".into(), end: Duration::from_millis(ms), ..Picture::default() }.svg();
        prop_assert!(texts(&svg).iter().all(|(_, right, ..)| *right <= 900.1), "{svg}");
    }

    #[test]
    fn nothing_in_a_name_breaks_out_of_an_svg(picture in picture()) {
        let svg = picture.svg();
        let open = svg.matches('<').count();
        prop_assert_eq!(open, svg.matches('>').count());
        prop_assert!(!svg.contains("<script") && svg.chars().all(|c| c == '\n' || !c.is_control()));
        let tags = ["<svg", "</svg", "<style", "</style", "<rect", "<line", "<text", "</text", "<path"];
        prop_assert_eq!(tags.iter().map(|tag| svg.matches(tag).count()).sum::<usize>(), open);
    }
}
