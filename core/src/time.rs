//! The contract's local times and dates (R5): read leniently, checked against the calendar, written in one form.
//!
//! A time is read from `YYYY-MM-DD HH:MM:SS`, with `T` for the blank, `/` for the dash, a fraction after the seconds,
//! or from 14 digits. A date is read from `YYYY-MM-DD`, with `/`, from 8 digits, or from a time that says midnight.
//! Neither carries a zone: local time of the archive, Asia/Shanghai unless configured.

use std::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The zone of the contract's times unless the archive is configured otherwise.
pub const DEFAULT_ZONE: &str = "Asia/Shanghai";

/// The earliest year taken; what lies before is a default value of some library, never a patient's date.
const YEAR_FIRST: u16 = 1800;
/// The last year taken.
const YEAR_LAST: u16 = 2200;
/// The most bytes of a time's text: `YYYY-MM-DD HH:MM:SS.fffffffff` with a few blanks. Longer texts are not read.
const TEXT_LIMIT_BYTES: usize = 40;

/// Why a text is no time or date. Says nothing of the text itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("格式不符 (not in the form of the contract)")]
    Form,
    #[error(
        "日历中没有这一天或时刻，或年份不在1800至2200之间 (no such day or time, or year not within 1800 to 2200)"
    )]
    Calendar,
    #[error("带有时区，应为本地时间 (carries a zone; local time is meant)")]
    Zone,
    #[error("日期带有非零点的时刻 (a date that carries a time other than midnight)")]
    NotMidnight,
}

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDate {
    year: u16,
    month: u8,
    day: u8,
}

/// A day and a time of that day, to the second, without a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalDateTime {
    date: LocalDate,
    hour: u8,
    minute: u8,
    second: u8,
}

impl LocalDate {
    /// The last day taken.
    pub const LAST: Self = Self {
        year: YEAR_LAST,
        month: 12,
        day: 31,
    };

    pub fn new(year: u16, month: u8, day: u8) -> Result<Self, TimeError> {
        if !(YEAR_FIRST..=YEAR_LAST).contains(&year) || day == 0 || day > days_of(year, month) {
            return Err(TimeError::Calendar);
        }
        Ok(Self { year, month, day })
    }

    /// Reads a date as R5 allows.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        match read(text)? {
            (date, None | Some((0, 0, 0))) => Ok(date),
            _ => Err(TimeError::NotMidnight),
        }
    }

    pub fn year(self) -> u16 {
        self.year
    }

    pub fn month(self) -> u8 {
        self.month
    }

    pub fn day(self) -> u8 {
        self.day
    }

    /// The day's first moment.
    pub fn midnight(self) -> LocalDateTime {
        LocalDateTime {
            date: self,
            hour: 0,
            minute: 0,
            second: 0,
        }
    }

    /// The day after, or none after the last year taken.
    pub fn next(self) -> Option<Self> {
        let (year, month) = (self.year, self.month);
        Self::new(year, month, self.day + 1)
            .or_else(|_| Self::new(year, month + 1, 1))
            .or_else(|_| Self::new(year + 1, 1, 1))
            .ok()
    }

    /// The day so many days before; the first day taken where that would be before it.
    pub fn days_before(self, days: u32) -> Self {
        let mut day = self;
        for _ in 0..days {
            let (year, month) = (day.year, day.month - 1);
            let before = Self::new(year, day.month, day.day - 1)
                .or_else(|_| Self::new(year, month, days_of(year, month)))
                .or_else(|_| Self::new(year - 1, 12, 31));
            match before {
                Ok(before) => day = before,
                Err(_) => break,
            }
        }
        day
    }

    /// `YYYYMMDD` as a number, in the order of days: a key of views, and DICOM's DA without dashes.
    pub fn number(self) -> u32 {
        u32::from(self.year) * 10_000 + u32::from(self.month) * 100 + u32::from(self.day)
    }

    /// The day whose [`LocalDate::number`] this is.
    pub fn from_number(number: u32) -> Result<Self, TimeError> {
        let year = u16::try_from(number / 10_000).map_err(|_| TimeError::Calendar)?;
        // Both remainders are below 100.
        Self::new(year, (number / 100 % 100) as u8, (number % 100) as u8)
    }
}

impl LocalDateTime {
    pub fn new(date: LocalDate, hour: u8, minute: u8, second: u8) -> Result<Self, TimeError> {
        if hour > 23 || minute > 59 || second > 59 {
            return Err(TimeError::Calendar);
        }
        Ok(Self {
            date,
            hour,
            minute,
            second,
        })
    }

    /// Reads a time as R5 allows.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let (date, time) = read(text)?;
        let (hour, minute, second) = time.ok_or(TimeError::Form)?;
        Self::new(date, hour, minute, second)
    }

    pub fn date(self) -> LocalDate {
        self.date
    }

    /// `(hour, minute, second)`
    pub fn time(self) -> (u8, u8, u8) {
        (self.hour, self.minute, self.second)
    }

    /// Milliseconds since 1970 in UTC. A time that a zone skips or has twice is read as most calendars do: the
    /// earlier of two, the later of none.
    pub fn unix_ms(self, zone: &Zone) -> i64 {
        let date = self.date;
        // Every field was checked against the calendar, so the civil time exists; 0 is unreachable.
        jiff::civil::DateTime::new(
            date.year as i16,
            date.month as i8,
            date.day as i8,
            self.hour as i8,
            self.minute as i8,
            self.second as i8,
            0,
        )
        .and_then(|civil| zone.zone.to_timestamp(civil))
        .map_or(0, |moment| moment.as_millisecond())
    }

    /// The local time of a moment, or none outside the years taken.
    pub fn from_unix_ms(moment_ms: i64, zone: &Zone) -> Option<Self> {
        let moment = jiff::Timestamp::from_millisecond(moment_ms).ok()?;
        let civil = zone.zone.to_datetime(moment);
        let date = LocalDate::new(
            u16::try_from(civil.year()).ok()?,
            u8::try_from(civil.month()).ok()?,
            u8::try_from(civil.day()).ok()?,
        )
        .ok()?;
        let [hour, minute, second] =
            [civil.hour(), civil.minute(), civil.second()].map(|part| part.unsigned_abs());
        Self::new(date, hour, minute, second).ok()
    }

    fn number(self) -> u64 {
        let time =
            u64::from(self.hour) * 10_000 + u64::from(self.minute) * 100 + u64::from(self.second);
        u64::from(self.date.number()) * 1_000_000 + time
    }

    fn from_number(number: u64) -> Result<Self, TimeError> {
        let date = u32::try_from(number / 1_000_000).map_err(|_| TimeError::Calendar)?;
        // The remainders are below 100.
        let [hour, minute, second] =
            [number / 10_000 % 100, number / 100 % 100, number % 100].map(|part| part as u8);
        Self::new(LocalDate::from_number(date)?, hour, minute, second)
    }
}

/// A time zone from the tables that are compiled in, so that every node reads a time alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    zone: TimeZone,
}

impl Zone {
    /// Finds a zone by its IANA name.
    pub fn named(name: &str) -> Option<Self> {
        TimeZoneDatabase::bundled()
            .get(name)
            .ok()
            .map(|zone| Self { zone })
    }

    pub fn utc() -> Self {
        Self {
            zone: TimeZone::UTC,
        }
    }

    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

impl Default for Zone {
    fn default() -> Self {
        // The name is in the compiled-in tables (a test holds that); China's offset since 1991 stands in otherwise.
        Self::named(DEFAULT_ZONE).unwrap_or_else(|| Self {
            zone: TimeZone::fixed(jiff::tz::offset(8)),
        })
    }
}

impl fmt::Display for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for LocalDateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:02}:{:02}:{:02}",
            self.date, self.hour, self.minute, self.second
        )
    }
}

/// Text for people (JSON), one number for machines (postcard).
macro_rules! serde_as_text_or_number {
    ($name:ident, $number:ty, $serialize:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.$serialize(self.number())
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    struct Text;
                    impl de::Visitor<'_> for Text {
                        type Value = $name;
                        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                            f.write_str("a local time of the contract")
                        }
                        fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                            <$name>::parse(text).map_err(E::custom)
                        }
                    }
                    deserializer.deserialize_str(Text)
                } else {
                    <$name>::from_number(<$number>::deserialize(deserializer)?)
                        .map_err(de::Error::custom)
                }
            }
        }
    };
}
serde_as_text_or_number!(LocalDate, u32, serialize_u32);
serde_as_text_or_number!(LocalDateTime, u64, serialize_u64);

/// For fields that may be without a time or date, `#[serde(with = "crate::time::optional")]`: as a number none is 0, which
/// is on no calendar, so that a time that is there takes the bytes that it takes in a field that is always filled.
pub mod optional {
    use super::*;

    pub fn serialize<T: Serialize, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            _ if serializer.is_human_readable() => value.serialize(serializer),
            Some(value) => value.serialize(serializer),
            None => serializer.serialize_u64(0),
        }
    }

    pub fn deserialize<'de, T: OfNumber + Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        if deserializer.is_human_readable() {
            return Option::deserialize(deserializer);
        }
        match u64::deserialize(deserializer)? {
            0 => Ok(None),
            number => T::of_number(number).map(Some).map_err(de::Error::custom),
        }
    }

    /// What is one number for machines.
    pub trait OfNumber: Sized {
        fn of_number(number: u64) -> Result<Self, TimeError>;
    }

    impl OfNumber for LocalDate {
        fn of_number(number: u64) -> Result<Self, TimeError> {
            let number = u32::try_from(number).map_err(|_| TimeError::Calendar)?;
            Self::from_number(number)
        }
    }

    impl OfNumber for LocalDateTime {
        fn of_number(number: u64) -> Result<Self, TimeError> {
            Self::from_number(number)
        }
    }
}

fn days_of(year: u16, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 0,
    }
}

type HourMinuteSecond = (u8, u8, u8);

fn read(text: &str) -> Result<(LocalDate, Option<HourMinuteSecond>), TimeError> {
    let text = text.trim();
    if text.len() > TEXT_LIMIT_BYTES || !text.is_ascii() {
        return Err(TimeError::Form);
    }
    let mut at = Reader {
        rest: text.as_bytes(),
    };
    // Four digits fit.
    let year = at.digits(4, 4)? as u16;
    let (month, day) = if let Some(separator) = at.one_of(b"-/") {
        let month = at.digits(1, 2)?;
        if at.one_of(&[separator]).is_none() {
            return Err(TimeError::Form);
        }
        (month, at.digits(1, 2)?)
    } else {
        (at.digits(2, 2)?, at.digits(2, 2)?)
    };
    let time = at.time()?;
    // Each holds at most two digits.
    let date = LocalDate::new(year, month as u8, day as u8)?;
    if let Some((hour, minute, second)) = time {
        LocalDateTime::new(date, hour, minute, second)?;
    }
    Ok((date, time))
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn digits(&mut self, least: usize, most: usize) -> Result<u32, TimeError> {
        let (mut number, mut count) = (0, 0);
        while let Some((byte @ b'0'..=b'9', rest)) = self.rest.split_first() {
            if count == most {
                break;
            }
            number = number * 10 + u32::from(byte - b'0');
            count += 1;
            self.rest = rest;
        }
        if count < least {
            Err(TimeError::Form)
        } else {
            Ok(number)
        }
    }

    fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        wanted.contains(byte).then(|| {
            self.rest = rest;
            *byte
        })
    }

    /// What follows the date: nothing, six digits, or a blank (or `T`) and a time.
    fn time(&mut self) -> Result<Option<HourMinuteSecond>, TimeError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let spread = self.one_of(b" T").is_some();
        while self.one_of(b" ").is_some() {}
        let (hour, minute, second) = if spread {
            let hour = self.digits(1, 2)?;
            self.one_of(b":").ok_or(TimeError::Form)?;
            let minute = self.digits(2, 2)?;
            self.one_of(b":").ok_or(TimeError::Form)?;
            (hour, minute, self.digits(2, 2)?)
        } else {
            (self.digits(2, 2)?, self.digits(2, 2)?, self.digits(2, 2)?)
        };
        if self.one_of(b".").is_some() {
            self.digits(1, 9)?;
        }
        match self.rest.first() {
            None => Ok(Some((hour as u8, minute as u8, second as u8))),
            Some(b'Z' | b'+' | b'-') => Err(TimeError::Zone),
            Some(_) => Err(TimeError::Form),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn days_before_a_day_are_those_of_the_calendar() {
        let before = |text: &str, days| {
            LocalDate::parse(text)
                .unwrap()
                .days_before(days)
                .to_string()
        };
        for (day, days, expected) in [
            ("2026-07-04", 0, "2026-07-04"),
            ("2026-07-04", 4, "2026-06-30"),
            ("2024-03-01", 1, "2024-02-29"),
            ("2026-01-01", 1, "2025-12-31"),
            ("2026-03-01", 365, "2025-03-01"),
        ] {
            assert_eq!(before(day, days), expected);
        }
    }

    #[test]
    fn every_allowed_spelling_is_the_same_time() {
        for text in [
            "2026-07-04 09:54:32",
            "2026-07-04T09:54:32",
            "2026/07/04 09:54:32",
            "2026/7/4 9:54:32",
            "2026-07-04 09:54:32.0",
            "2026-07-04T09:54:32.123",
            "20260704095432",
            " 2026-07-04  09:54:32 ",
        ] {
            let time = LocalDateTime::parse(text).expect(text);
            assert_eq!(time.to_string(), "2026-07-04 09:54:32", "{text}");
        }
    }

    #[test]
    fn a_date_may_carry_midnight_and_nothing_else() {
        for text in [
            "2026-07-04",
            "2026/07/04",
            "20260704",
            "2026-07-04 00:00:00",
            "2026-07-04T00:00:00.0",
            "20260704000000",
        ] {
            assert_eq!(
                LocalDate::parse(text).expect(text).to_string(),
                "2026-07-04",
                "{text}"
            );
        }
        assert_eq!(
            LocalDate::parse("2026-07-04 00:00:01"),
            Err(TimeError::NotMidnight)
        );
    }

    #[test]
    fn what_no_calendar_has_is_refused() {
        for text in [
            "2026-02-29 00:00:00",
            "2026-13-01 00:00:00",
            "2026-04-31 00:00:00",
            "2026-07-04 24:00:00",
            "2026-07-04 10:60:00",
            "0001-01-01 00:00:00",
        ] {
            assert_eq!(
                LocalDateTime::parse(text),
                Err(TimeError::Calendar),
                "{text}"
            );
        }
        assert!(LocalDate::parse("2024-02-29").is_ok());
        for text in [
            "",
            "2026-07-04",
            "2026-07/04 10:00:00",
            "2026-07-04 10:00",
            "today",
            "2026年07月04日 10:00:00",
            "202607041000001",
        ] {
            assert_eq!(LocalDateTime::parse(text), Err(TimeError::Form), "{text}");
        }
        for text in ["2026-07-04T10:00:00Z", "2026-07-04T10:00:00+08:00"] {
            assert_eq!(LocalDateTime::parse(text), Err(TimeError::Zone), "{text}");
        }
    }

    #[test]
    fn local_time_becomes_a_moment_and_back() {
        let zone = Zone::default();
        assert_eq!(zone.name(), DEFAULT_ZONE);
        let time = LocalDateTime::parse("2026-07-04 10:54:32").unwrap();
        assert_eq!(time.unix_ms(&zone), 1_783_133_672_000);
        assert_eq!(
            LocalDateTime::from_unix_ms(1_783_133_672_999, &zone),
            Some(time)
        );
        // China had summer time in 1988: nine hours before UTC.
        let summer = LocalDateTime::parse("1988-07-04 10:00:00").unwrap();
        assert_eq!(summer.unix_ms(&zone), 583_981_200_000);
    }

    #[test]
    fn the_day_after_the_last_of_a_month_is_the_first() {
        let next = |text| LocalDate::parse(text).unwrap().next().unwrap().to_string();
        assert_eq!(next("2026-07-04"), "2026-07-05");
        assert_eq!(next("2024-02-28"), "2024-02-29");
        assert_eq!(next("2026-12-31"), "2027-01-01");
    }

    #[test]
    fn both_forms_of_serde_give_the_time_back() {
        let time = LocalDateTime::parse("2026-07-04 10:54:32").unwrap();
        assert_eq!(
            serde_json::to_string(&time).unwrap(),
            "\"2026-07-04 10:54:32\""
        );
        let packed = postcard::to_allocvec(&(time, time.date())).unwrap();
        assert_eq!(
            postcard::from_bytes::<(LocalDateTime, LocalDate)>(&packed).unwrap(),
            (time, time.date())
        );
        assert!(
            postcard::from_bytes::<LocalDate>(&postcard::to_allocvec(&20_261_399u32).unwrap())
                .is_err()
        );
    }
}
