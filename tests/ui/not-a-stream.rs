use callboard::prelude::*;

#[derive(Default, Service)]
pub struct Numbers;

#[handlers]
impl Numbers {
    pub async fn sum(&self, mut numbers: Inbound<u32>) -> Result<u64, CallError> {
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += u64::from(number?);
        }
        Ok(sum)
    }
}

pub async fn vec(numbers: NumbersRef) -> Result<(), HandlerError<CallError>> {
    numbers.sum(vec![1, 2, 3]).await?;
    Ok(())
}

pub async fn range(numbers: NumbersRef) -> Result<(), HandlerError<CallError>> {
    numbers.sum(1..=3).await?;
    Ok(())
}

pub async fn channel(
    numbers: NumbersRef,
    values: tokio::sync::mpsc::Receiver<u32>,
) -> Result<(), HandlerError<CallError>> {
    numbers.sum(values).await?;
    Ok(())
}

fn main() {}
