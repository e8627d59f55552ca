//! The bounds: how ours has to stand to a rival of the same run.

use serde::Serialize;

use crate::job::Contender;
use crate::run::Results;

/// One bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The row of the table that it belongs to.
    pub(crate) row: &'static str,
    /// Whether the row must hold.
    pub(crate) bold: bool,
    pub(crate) case: &'static str,
    pub(crate) figure: &'static str,
    /// Whose figure it is of: one of ours.
    pub(crate) of: Contender,
    pub(crate) against: Against,
    pub(crate) must: Limit,
    pub(crate) moonshot: Option<Limit>,
}

/// What ours is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Against {
    /// A rival's median of the same figure: the value is the ratio of ours to it.
    Times(Contender),
    /// The same, where the value is what ours is more.
    Plus(Contender),
    /// Nothing: the value is ours.
    Nobody,
}

/// How large a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Limit {
    AtLeast(f64),
    AtMost(f64),
}

/// What came of a bound.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) row: &'static str,
    pub(crate) bold: bool,
    pub(crate) case: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) of: Contender,
    pub(crate) against: Option<Contender>,
    pub(crate) ours: f64,
    pub(crate) theirs: Option<f64>,
    pub(crate) value: f64,
    pub(crate) must: Limit,
    pub(crate) holds: bool,
    pub(crate) moonshot: Option<Limit>,
    pub(crate) moonshot_holds: Option<bool>,
}

impl Limit {
    /// Whether a value keeps it.
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl Bound {
    /// Compares the medians, if both sides were measured.
    pub(crate) fn judge(&self, results: &Results) -> Option<Verdict> {
        let median = |contender| results.median(self.case, contender, self.figure);
        let ours = median(self.of)?;
        let (against, theirs, value) = match self.against {
            Against::Times(rival) => {
                let theirs = median(rival)?;
                (Some(rival), Some(theirs), ours / theirs)
            }
            Against::Plus(rival) => {
                let theirs = median(rival)?;
                (Some(rival), Some(theirs), ours - theirs)
            }
            Against::Nobody => (None, None, ours),
        };
        Some(Verdict {
            row: self.row,
            bold: self.bold,
            case: self.case,
            figure: self.figure,
            of: self.of,
            against,
            ours,
            theirs,
            value,
            must: self.must,
            holds: self.must.holds(value),
            moonshot: self.moonshot,
            moonshot_holds: self.moonshot.map(|limit| limit.holds(value)),
        })
    }
}

/// Raw quinn is a measure only if it is this many times as fast as gRPC in the same run. Returns
/// how many times it was.
pub(crate) fn raw_to_tonic(results: &Results) -> Option<f64> {
    let median = |contender| results.median("calls-128-64", contender, "calls_per_s");
    Some(median(Contender::Raw)? / median(Contender::TonicUnary)?)
}

/// See [`raw_to_tonic`].
pub(crate) const RAW_TO_TONIC_MIN: f64 = 8.0;
