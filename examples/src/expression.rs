//! A condition over the numbers of a summary: `calls_failed==0 && calls_ok>=10000`.
//!
//! The grammar is small on purpose: comparisons between fields and numbers, joined by `&&` and
//! `||` (which binds less) and grouped by parentheses. No arithmetic, no functions, no strings.
//!
//! ```text
//! either     = all { "||" all }
//! all        = one { "&&" one }
//! one        = "(" either ")" | operand compare operand
//! compare    = "==" | "!=" | "<" | "<=" | ">" | ">="
//! operand    = FIELD | NUMBER            NUMBER may have decimals and underscores: 10_000, 0.5;
//!                                        a part of a field is named as in outage_ms.max
//! ```

use std::collections::BTreeSet;
use std::fmt;

/// The grammar in the form that `--help` shows.
pub const GRAMMAR: &str = "\
comparisons (== != < <= > >=) between fields of the summary and numbers, joined by && and || and \
grouped by parentheses: --assert \"calls_failed==0 && (calls_ok>=10000 || p99_us<5000)\"";

/// Why a text is not a condition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}\n    {text}\n    {caret:>width$}\n{GRAMMAR}", caret = "^", width = at + 1)]
pub struct ParseError {
    text: String,
    /// Where in the text, in characters.
    at: usize,
    message: String,
}

/// A field that the values do not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no field `{0}` in the summary")]
pub struct UnknownField(pub String);

/// A parsed condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    text: String,
    root: Either,
}

impl Expression {
    /// Reads a condition.
    ///
    /// # Errors
    ///
    /// A [`ParseError`] that points at the place in the text.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut parser = Parser {
            tokens: tokens(text)?,
            next: 0,
            text,
            depth: 0,
        };
        let root = parser.either()?;
        match parser.peek() {
            Token::End => Ok(Self {
                text: text.to_owned(),
                root,
            }),
            found => Err(parser.error(format!("expected && or || or the end, found {found}"))),
        }
    }

    /// The names of all fields that the condition reads.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<&str> {
        let mut fields = BTreeSet::new();
        self.root.visit(&mut |comparison| {
            for operand in [&comparison.left, &comparison.right] {
                if let Operand::Field(name) = operand {
                    fields.insert(name.as_str());
                }
            }
        });
        fields
    }

    /// Says whether the condition holds for the values that `field` returns by name.
    ///
    /// # Errors
    ///
    /// [`UnknownField`] when `field` has no value for a name. Both sides of `&&` and `||` are
    /// always read, so a wrong name is found whatever the other side says.
    pub fn holds(&self, field: impl Fn(&str) -> Option<f64>) -> Result<bool, UnknownField> {
        self.root.holds(&field)
    }

    /// The comparisons that are not true for the values, each with the values filled in:
    /// `calls_failed==0 (calls_failed is 12)`.
    #[must_use]
    pub fn untrue(&self, field: impl Fn(&str) -> Option<f64>) -> Vec<String> {
        let mut found = Vec::new();
        self.root.visit(&mut |comparison| {
            if !comparison.holds(&field).unwrap_or(false) {
                found.push(comparison.explain(&field));
            }
        });
        found
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// True when one of its parts is.
#[derive(Clone, Debug, PartialEq)]
struct Either(Vec<All>);

/// True when all of its parts are.
#[derive(Clone, Debug, PartialEq)]
struct All(Vec<One>);

#[derive(Clone, Debug, PartialEq)]
enum One {
    Group(Either),
    Comparison(Comparison),
}

#[derive(Clone, Debug, PartialEq)]
struct Comparison {
    left: Operand,
    how: Compare,
    right: Operand,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Field(String),
    Number(f64),
}

impl Either {
    fn holds(&self, field: &dyn Fn(&str) -> Option<f64>) -> Result<bool, UnknownField> {
        let mut any = false;
        for all in &self.0 {
            let mut every = true;
            for one in &all.0 {
                every &= match one {
                    One::Group(group) => group.holds(field)?,
                    One::Comparison(comparison) => comparison.holds(field)?,
                };
            }
            any |= every;
        }
        Ok(any)
    }

    fn visit<'a>(&'a self, each: &mut impl FnMut(&'a Comparison)) {
        for one in self.0.iter().flat_map(|all| &all.0) {
            match one {
                One::Group(group) => group.visit(each),
                One::Comparison(comparison) => each(comparison),
            }
        }
    }
}

impl Comparison {
    fn holds(&self, field: &dyn Fn(&str) -> Option<f64>) -> Result<bool, UnknownField> {
        let (left, right) = (self.left.value(field)?, self.right.value(field)?);
        Ok(match self.how {
            Compare::Equal => left == right,
            Compare::NotEqual => left != right,
            Compare::Less => left < right,
            Compare::LessOrEqual => left <= right,
            Compare::Greater => left > right,
            Compare::GreaterOrEqual => left >= right,
        })
    }

    fn explain(&self, field: &dyn Fn(&str) -> Option<f64>) -> String {
        let values: Vec<String> = [&self.left, &self.right]
            .into_iter()
            .filter_map(|operand| match operand {
                Operand::Field(name) => field(name).map(|value| format!("{name} is {value}")),
                Operand::Number(_) => None,
            })
            .collect();
        format!(
            "{}{}{} ({})",
            self.left,
            self.how,
            self.right,
            values.join(", ")
        )
    }
}

impl Operand {
    fn value(&self, field: &dyn Fn(&str) -> Option<f64>) -> Result<f64, UnknownField> {
        match self {
            Self::Number(value) => Ok(*value),
            Self::Field(name) => field(name).ok_or_else(|| UnknownField(name.clone())),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Number(value) => write!(f, "{value}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Field(String),
    Number(f64),
    Compare(Compare),
    And,
    Or,
    Open,
    Close,
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, "`{name}`"),
            Self::Number(value) => write!(f, "`{value}`"),
            Self::Compare(compare) => write!(f, "`{compare}`"),
            Self::And => f.write_str("`&&`"),
            Self::Or => f.write_str("`||`"),
            Self::Open => f.write_str("`(`"),
            Self::Close => f.write_str("`)`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Splits a text into tokens, each with its place in characters. The last one is [`Token::End`].
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let start = at;
        let token = if c.is_ascii_digit() {
            number(&chars, &mut at)
        } else if c.is_ascii_alphabetic() || c == '_' {
            let word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
            Ok(Token::Field(take_while(&chars, &mut at, word)))
        } else {
            symbol(&chars, &mut at)
        };
        let token = token.map_err(|message| ParseError {
            text: text.to_owned(),
            at: start,
            message,
        })?;
        tokens.push((start, token));
    }
    tokens.push((chars.len(), Token::End));
    Ok(tokens)
}

fn take_while(chars: &[char], at: &mut usize, wanted: impl Fn(&char) -> bool) -> String {
    let taken: String = chars.iter().skip(*at).take_while(|c| wanted(c)).collect();
    *at += taken.chars().count();
    taken
}

fn number(chars: &[char], at: &mut usize) -> Result<Token, String> {
    let figures = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
    let text = take_while(chars, at, figures);
    let plain = text.replace('_', "");
    // The standard parser also takes exponents; `1e4` is not in the grammar shown.
    if !plain.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(format!("`{text}` is not a number"));
    }
    plain
        .parse()
        .map(Token::Number)
        .map_err(|_| format!("`{text}` is not a number"))
}

fn symbol(chars: &[char], at: &mut usize) -> Result<Token, String> {
    let first = chars.get(*at).copied().unwrap_or_default();
    let second = chars.get(*at + 1).copied().unwrap_or_default();
    let (token, length) = match (first, second) {
        ('=', '=') => (Token::Compare(Compare::Equal), 2),
        ('!', '=') => (Token::Compare(Compare::NotEqual), 2),
        ('<', '=') => (Token::Compare(Compare::LessOrEqual), 2),
        ('>', '=') => (Token::Compare(Compare::GreaterOrEqual), 2),
        ('<', _) => (Token::Compare(Compare::Less), 1),
        ('>', _) => (Token::Compare(Compare::Greater), 1),
        ('&', '&') => (Token::And, 2),
        ('|', '|') => (Token::Or, 2),
        ('(', _) => (Token::Open, 1),
        (')', _) => (Token::Close, 1),
        ('=', _) => return Err("`=` alone compares nothing: write ==".to_owned()),
        ('&' | '|', _) => return Err(format!("`{first}` alone joins nothing: write && or ||")),
        (other, _) => return Err(format!("`{other}` is not understood")),
    };
    *at += length;
    Ok(token)
}

struct Parser<'a> {
    tokens: Vec<(usize, Token)>,
    next: usize,
    text: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn either(&mut self) -> Result<Either, ParseError> {
        let mut parts = vec![self.all()?];
        while self.take_if(&Token::Or) {
            parts.push(self.all()?);
        }
        Ok(Either(parts))
    }

    fn all(&mut self) -> Result<All, ParseError> {
        let mut parts = vec![self.one()?];
        while self.take_if(&Token::And) {
            parts.push(self.one()?);
        }
        Ok(All(parts))
    }

    fn one(&mut self) -> Result<One, ParseError> {
        if *self.peek() == Token::Open {
            return self.group();
        }
        let left = self.operand()?;
        let how = match *self.peek() {
            Token::Compare(how) => how,
            ref found => {
                let message = format!("expected one of == != < <= > >=, found {found}");
                return Err(self.error(message));
            }
        };
        self.next += 1;
        let right = self.operand()?;
        Ok(One::Comparison(Comparison { left, how, right }))
    }

    fn group(&mut self) -> Result<One, ParseError> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(format!("more than {DEPTH_MAX} parentheses in each other")));
        }
        self.next += 1;
        self.depth += 1;
        let group = self.either()?;
        self.depth -= 1;
        if self.take_if(&Token::Close) {
            return Ok(One::Group(group));
        }
        let message = format!("expected `)`, found {}", self.peek());
        Err(self.error(message))
    }

    fn operand(&mut self) -> Result<Operand, ParseError> {
        let operand = match self.peek() {
            Token::Field(name) => Operand::Field(name.clone()),
            Token::Number(value) => Operand::Number(*value),
            found => return Err(self.error(format!("expected a field or a number, found {found}"))),
        };
        self.next += 1;
        Ok(operand)
    }

    fn take_if(&mut self, wanted: &Token) -> bool {
        let found = self.peek() == wanted;
        self.next += usize::from(found);
        found
    }

    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(_, token)| token)
    }

    fn error(&self, message: String) -> ParseError {
        let at = self
            .tokens
            .get(self.next)
            .map_or(self.text.chars().count(), |(at, _)| *at);
        ParseError {
            text: self.text.to_owned(),
            at,
            message,
        }
    }
}

/// Parentheses in parentheses; each level is a few stack frames of the parser.
const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests;
