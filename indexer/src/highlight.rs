//! Where in a text the words stand that were typed.

use crate::query::words_of;
use crate::words;

/// Characters of what is shown around the first word that was met.
const SHOWN: usize = 80;
/// Of these, what is shown before it.
const BEFORE: usize = 20;
/// Places of one text that are marked.
const MARKS: usize = 16;

/// A piece of a text and the places of the words in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Highlight {
    pub text: String,
    /// First character and number of characters of each, in order, none within another.
    pub marks: Vec<(usize, usize)>,
}

/// What is looked for in texts, made once for a question.
pub struct Marker {
    words: Vec<Vec<char>>,
}

impl Marker {
    pub fn new(typed: &str) -> Self {
        let mut all: Vec<Vec<char>> = Vec::new();
        for word in words_of(typed) {
            all.extend(
                words::asked(&word)
                    .into_iter()
                    .map(|part| part.text.chars().collect()),
            );
            all.push(word.chars().collect());
        }
        // A single letter or digit is nearly everywhere.
        all.retain(|word| word.len() > 1 || word.iter().all(|c| words::is_chinese(*c)));
        all.sort_by_key(|word| std::cmp::Reverse(word.len()));
        all.dedup();
        Self { words: all }
    }

    /// `None`: none of the words is in it.
    pub fn mark(&self, text: &str) -> Option<Highlight> {
        let shown: Vec<char> = text.chars().collect();
        // One character for each of the text, so that places are the same.
        let folded: Vec<char> = shown
            .iter()
            .map(|c| words::folded(&c.to_string()).chars().next().unwrap_or(*c))
            .collect();
        let mut marks = Vec::new();
        let mut at = 0;
        while at < folded.len() && marks.len() < MARKS {
            let rest = folded.get(at..).unwrap_or_default();
            match self.words.iter().find(|word| rest.starts_with(word)) {
                Some(word) => {
                    marks.push((at, word.len()));
                    at += word.len();
                }
                None => at += 1,
            }
        }
        let (first, _) = *marks.first()?;
        let from = first.saturating_sub(BEFORE);
        let piece: String = shown.iter().skip(from).take(SHOWN).collect();
        let within = |(at, length): (usize, usize)| {
            let at = at.checked_sub(from)?;
            (at + length <= SHOWN).then_some((at, length))
        };
        Some(Highlight {
            text: piece,
            marks: marks.into_iter().filter_map(within).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(typed: &str, text: &str) -> Option<String> {
        let found = Marker::new(typed).mark(text)?;
        let characters: Vec<char> = found.text.chars().collect();
        let words = found.marks.iter().map(|(at, length)| {
            let word = characters.iter().skip(*at).take(*length);
            word.collect::<String>()
        });
        Some(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn words_are_marked_as_they_stand_the_longest_first() {
        assert_eq!(
            marked("肺癌 ct", "右肺上叶占位，考虑肺癌；建议CT增强。").as_deref(),
            Some("肺癌 CT")
        );
        assert_eq!(marked("肝癌", "未见明显异常。"), None);
    }

    #[test]
    fn of_a_long_text_what_is_around_the_first_word_is_shown() {
        let text = format!("{}肺癌{}", "甲".repeat(500), "乙".repeat(500));
        let found = Marker::new("肺癌").mark(&text).unwrap_or(Highlight {
            text: String::new(),
            marks: Vec::new(),
        });
        assert_eq!(found.text.chars().count(), SHOWN);
        assert_eq!(found.marks, [(BEFORE, 2)]);
    }
}
