use std::{error::Error, fmt::Display};

use callboard::prelude::*;

// Each handler has one mistake, which is told once: the calls that were meant for it find it.
#[derive(Default, Actor)]
pub struct Room {
    lines: Vec<String>,
}

#[handlers]
impl Room {
    pub fn push<T: ToString>(&mut self, line: T) -> u32 {
        self.lines.push(line.to_string());
        self.lines.len() as u32
    }

    pub fn append(&mut self, lines: impl IntoIterator<Item = String>) {
        self.lines.extend(lines);
    }

    pub fn last(&self) -> Option<&str> {
        self.lines.last().map(String::as_str)
    }

    pub fn title(&self) -> impl Display {
        "a room"
    }

    pub fn each(&self) -> impl Stream<Item = String> {
        futures_util::stream::iter(self.lines.clone())
    }

    pub fn into_lines(self) -> Vec<String> {
        self.lines
    }

    pub const fn limit(&self) -> u32 {
        100
    }

    pub fn at(&self, (from, to): (u32, u32)) -> Vec<String> {
        self.lines[from as usize..to as usize].to_vec()
    }

    pub fn note(&mut self, line: String, ctx: &Ctx<Self>) {
        self.lines.push(format!("{}: {line}", ctx.node_name()));
    }

    pub fn read(&self, file: String) -> Result<u32, Box<dyn Error>> {
        Ok(file.parse()?)
    }

    #[handler]
    fn count(&self) -> u32 {
        self.lines.len() as u32
    }
}

pub async fn use_it(room: &RoomRef) -> Result<u32, Box<dyn Error>> {
    let pushed = room.push("hello").await?;
    room.append(vec!["one".to_string()]).await?;
    let last: Option<String> = room.last().await?;
    println!("{}: {last:?}", room.title().await?);
    let each: Streaming<String> = room.each().await?;
    drop(each);
    let lines = room.into_lines().await?.len() + room.at((0, 1)).await?.len();
    room.note("hello").await?;
    Ok(pushed + lines as u32 + room.limit().await? + room.read("a").await? + room.count().await?)
}

fn main() {}
