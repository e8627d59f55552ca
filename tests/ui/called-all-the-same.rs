use callboard::prelude::*;

#[derive(Default, Actor)]
pub struct Room {
    lines: Vec<String>,
}

#[handlers]
impl Room {
    pub fn say(&mut self, who: &str, text: String) -> u32 {
        self.lines.push(format!("{who}: {text}"));
        self.lines.len() as u32
    }

    pub fn mine(&self, _ctx: &mut Ctx<Self>, wanted: &[String]) -> Vec<String> {
        let is_wanted = |line: &&String| wanted.contains(line);
        self.lines.iter().filter(is_wanted).cloned().collect()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.clone()
    }
}

pub async fn use_it(room: &RoomRef) -> Result<usize, CallError> {
    let count = room.say("Ada", "hello").await?;
    let mine = room.mine(vec!["hello".to_string()]).await?;
    Ok(room.lines().await?.len() + mine.len() + count as usize)
}

fn main() {}
