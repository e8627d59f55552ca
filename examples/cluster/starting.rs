//! How a run begins: the nodes are started and form a cluster, the client connects, the load begins.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use callboard::env::Bug;
use callboard::net::PeerKind;
use callboard::prelude::*;
use callboard_examples::report::Event;
use callboard_examples::trace::FaultKind;

use crate::cart::Cart;
use crate::driver::{Driver, Member, State, Stop};
use crate::load::{Load, Pace};
use crate::process::{Process, Start};
use crate::shoppers::{HOT, Shoppers};

impl Driver {
    /// Starts the first node, then the others with the first one as their only seed, and waits until
    /// every node sees every other and is a member of the cluster that they form.
    pub(crate) async fn start_nodes(&mut self) -> Result<(), Stop> {
        let limit = Instant::now() + START_LIMIT;
        self.start(0)?;
        let first_up = |driver: &Self| driver.members.iter().take(1).all(Member::is_up);
        self.wait(limit, "the first node did not come up", first_up)
            .await?;
        for index in 1..self.members.len() {
            self.start(index)?;
        }
        let all = |driver: &Self| {
            driver.members.iter().all(Member::is_up) && driver.views.have_agreed(&driver.running())
        };
        self.wait(limit, "the nodes did not find each other", all)
            .await?;
        // With fewer voters than it is formed for, the loss of one would stop the control group. Who votes
        // is up to the cluster.
        let founders = founders(self.plan.nodes.len()) as usize;
        let formed = |driver: &Self| {
            let voters = driver.members.iter().filter(|member| member.votes);
            voters.count() >= founders && driver.members.iter().all(|member| member.has_joined)
        };
        self.wait(limit, "the nodes did not form a cluster", formed)
            .await
    }

    pub(crate) async fn connect(&mut self) -> Result<(), Stop> {
        let from = Instant::now();
        let identity = "load"
            .parse()
            .map_err(|error| Stop::Failed(format!("the client has no name: {error}")))
            .and_then(|name| {
                let issued = self.authority.issue(name, PeerKind::Client);
                issued.map_err(|error| Stop::Failed(error.to_string()))
            })?;
        let seeds: Vec<SocketAddr> = self
            .members
            .iter()
            .filter_map(|member| member.addr)
            .collect();
        let client = Client::builder()
            .seeds(seeds)
            .identity(identity)
            .connect()
            .await
            .map_err(|error| Stop::Failed(format!("the client cannot connect: {error}")))?;
        self.say(&Event::Connected {
            took_ms: from.elapsed().as_millis() as u64,
        })?;
        self.await_cart(&client, from).await?;
        let pace = Pace {
            rate: self.plan.rate,
            in_flight_max: self.plan.in_flight_max,
        };
        self.began = Some(Instant::now());
        let shoppers = Shoppers::new(&client, self.plan.shoppers, self.plan.reprice_every);
        self.load = Some(Load::start(client, shoppers, pace, self.tell.clone()));
        Ok(())
    }

    /// Waits until the slots have owners: a first cart answers.
    async fn await_cart(&mut self, client: &Client, from: Instant) -> Result<(), Stop> {
        let cart = client.actor::<Cart>(HOT);
        let answer = async move { cart.put("tea", 1).timeout(START_LIMIT).await };
        let owner = self
            .meanwhile(answer)
            .await?
            .map_err(|error| Stop::Failed(format!("the first cart does not answer: {error}")))?
            .node;
        self.say(&Event::Formed {
            took_ms: from.elapsed().as_millis() as u64,
            leader: self.leader().map(str::to_owned),
            owner,
        })
    }

    /// Starts a node's process; at the address it had before, if any.
    pub(crate) fn start(&mut self, index: usize) -> Result<(), Stop> {
        // All that were ever there: those that are down now may come back.
        let others = self.members.iter().enumerate();
        let seeds: Vec<SocketAddr> = others
            .filter(|(other, _)| *other != index)
            .filter_map(|(_, member)| member.addr)
            .collect();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let founders = founders(self.plan.nodes.len());
        let profile = self.plan.profile.name();
        let plant = self.plan.plant.map(Bug::name);
        let member = &mut self.members[index];
        member.life += 1;
        let start = Start {
            name: &member.name,
            listen: member.addr.unwrap_or(anywhere),
            seeds: &seeds,
            directory: self.directory.path(),
            life: member.life,
            founders: (index < founders as usize).then_some(founders),
            profile,
            plant,
        };
        let process = Process::start(&start, self.tell.clone())
            .map_err(|error| Stop::Failed(format!("{} cannot be started: {error}", member.name)))?;
        member.process = Some(process);
        member.state = State::Starting;
        member.has_joined = false;
        member.since = Instant::now();
        for ended in [FaultKind::Down, FaultKind::Paused] {
            self.end_fault(index, ended);
        }
        self.tell_splits();
        Ok(())
    }
}

/// How many of the nodes form the cluster; the others join it. An even number would survive no more
/// losses than the odd one below it.
fn founders(nodes: usize) -> u32 {
    if nodes < 3 { 1 } else { 3 }
}

/// The first start of an executable may have to wait for a slow disk.
const START_LIMIT: Duration = Duration::from_secs(20);
