//! What ends early finds the same as what looks at everything: random questions over exams in several segments, of which some
//! were replaced and some are gone.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use yingku_core::ids::Position;

use crate::tests::{HERE, House, THERE, code, exam, report, typed};
use crate::{Exam, Filters, Found, Hidden, Question, Sort};

const EXAMS: u64 = 600;
const QUESTIONS: u64 = 300;
const NAMES: [&str; 6] = ["张小东", "张小", "小东明", "陈涛", "王胸部", "单雄信"];
const PROSE: [&str; 5] = [
    "右肺上叶占位，考虑肺癌。",
    "肺癌待排，考虑炎症。",
    "脂肪肝。",
    "考虑脂肪肝。上叶未见占位。",
    "陈涛医生已会诊。",
];
const TYPED: [&str; 14] = [
    "",
    "张小东",
    "小东",
    "zhangxiaodong",
    "zx",
    "ct",
    "肺癌",
    "考虑肺癌",
    "上叶占位",
    "考虑 占位",
    "小东 肺癌",
    "陈涛",
    "E17",
    "胸部 ct",
];

/// The same numbers each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }
}

fn one(dice: &mut Dice, number: u64) -> Exam {
    let hospital = dice.of(&[HERE, HERE, HERE, HERE, HERE, THERE]);
    let mut exam = exam(
        hospital,
        &format!("E{number}"),
        dice.of(&NAMES),
        number,
        report(dice.of(&PROSE)),
    );
    exam.row.class = dice.of(&["CT", "CT", "MR"]).to_owned();
    exam.row.patient_source = dice.of(&["门诊", "门诊", "体检"]).to_owned();
    exam.row.exam_time = format!("2026-07-{:02} 08:00:00", 1 + dice.below(28));
    exam
}

/// Exams by their first position, as they stand, and an index that came to them by several commits.
fn city(dice: &mut Dice) -> (House, BTreeMap<u64, Exam>) {
    let house = House::of(Vec::new());
    let mut standing = BTreeMap::new();
    for number in 0..EXAMS {
        let exam = one(dice, number);
        house.put(&exam);
        standing.insert(number, exam);
        if dice.below(4) == 0 {
            let number = dice.below(number + 1);
            if let Some(Exam { row, .. }) = standing.get(&number) {
                let mut again = one(dice, number);
                again.row.key = row.key.clone();
                house.put(&again);
                standing.insert(number, again);
            }
        }
        if dice.below(10) == 0 {
            let number = dice.below(number + 1);
            if let Some(gone) = standing.remove(&number) {
                house.index.replace(vec![(gone.row.key, None)]).unwrap();
            }
        }
        if dice.below(60) == 0 {
            house.index.commit(Position(number)).unwrap();
        }
    }
    house.index.commit(Position(EXAMS)).unwrap();
    (house, standing)
}

fn question(dice: &mut Dice) -> Question {
    let mut filters = Filters::default();
    if dice.below(3) == 0 {
        filters.classes = vec!["CT".to_owned()];
    }
    if dice.below(3) == 0 {
        filters.from = Some(20_260_700 + dice.below(28));
    }
    let hidden = Hidden {
        hospital: code(dice.of(&[HERE, THERE])),
        sources: vec!["体检".to_owned()],
        classes: (0..dice.below(2)).map(|_| "MR".to_owned()).collect(),
    };
    Question {
        hospitals: dice.of(&[
            vec![code(HERE), code(THERE)],
            vec![code(THERE)],
            vec![code(HERE)],
        ]),
        hidden: (0..dice.below(2)).map(|_| hidden.clone()).collect(),
        filters,
        sort: dice.of(&[Sort::Relevance, Sort::Relevance, Sort::Newest]),
        before: Position(dice.of(&[u64::MAX, EXAMS / 2])),
        limit: EXAMS as usize,
        ..typed(dice.of(&TYPED))
    }
}

fn firsts(found: &Found) -> Vec<u64> {
    found.hits.iter().map(|hit| hit.first.0).collect()
}

fn may_be_found(exam: &Exam, question: &Question) -> bool {
    let row = &exam.row;
    let is_hidden = question.hidden.iter().any(|it| {
        it.hospital == row.key.hospital
            && (it.sources.contains(&row.patient_source) || it.classes.contains(&row.class))
    });
    let day = crate::day_number(row.exam_date());
    question.hospitals.contains(&row.key.hospital)
        && !is_hidden
        && question.filters.from.is_none_or(|from| day >= from)
        && (question.filters.classes.is_empty() || question.filters.classes.contains(&row.class))
        && row.first_position < question.before
}

#[test]
fn what_ends_early_finds_what_looking_at_everything_finds() {
    let mut dice = Dice(26);
    let (house, standing) = city(&mut dice);
    let mut met = 0;
    for _ in 0..QUESTIONS {
        let question = question(&mut dice);
        let all = house.ask(question.clone());
        let expected = firsts(&all);
        met += expected.len();
        for first in &expected {
            assert!(
                may_be_found(&standing[first], &question),
                "{question:?}: {first}"
            );
        }
        if question.text.is_empty() {
            let may = standing
                .values()
                .filter(|exam| may_be_found(exam, &question));
            assert_eq!(expected.len(), may.count(), "{question:?}");
        }
        assert_eq!(
            (all.total, all.has_more),
            (expected.len() as u64, false),
            "{question:?}"
        );
        // With facets nothing is counted on the way, so it ends as early as it can.
        let limit = 1 + dice.below(20) as usize;
        let offset = dice.below(30) as usize;
        let page = house.ask(Question {
            facets: true,
            limit,
            offset,
            ..question.clone()
        });
        let cut: Vec<u64> = expected.iter().copied().skip(offset).take(limit).collect();
        assert_eq!(
            (firsts(&page), page.total),
            (cut, all.total),
            "{question:?}"
        );
        if question.sort == Sort::Newest {
            assert!(expected.is_sorted_by(|a, b| a > b), "{question:?}");
        }
        if let (Sort::Newest, Some(after)) = (question.sort, expected.get(offset).copied()) {
            let rest = house.ask(Question {
                after: Some(Position(after)),
                ..question.clone()
            });
            assert_eq!(firsts(&rest), expected[offset + 1..], "{question:?}");
            assert_eq!(
                rest.total, all.total,
                "the number of all stays the same on every page"
            );
        }
    }
    assert!(met > 1_000, "{met}");
}
