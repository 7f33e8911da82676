//! Thousands of schedules, each drawn from a seed: requests, delays, failures, cancellations and deadlines at any moment. A
//! schedule that goes wrong names its seed.

use std::collections::HashMap;

use super::*;

/// Schedules that are run.
const SCHEDULES: u64 = 3_000;

/// An age that no window reaches.
const NEVER: Duration = Duration::from_secs(3600);

/// SplitMix64. *Source*: <https://prng.di.unimi.it/splitmix64.c>
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (value ^ (value >> 31)) % end
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn ms(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

/// A request, as a stage is handed it: with the buffers that it holds.
#[derive(Debug)]
struct Window {
    name: u64,
    index: u64,
    of: u64,
    audio: Option<Lease>,
    mel: Option<Lease>,
    encoded: Option<Lease>,
}

/// What the simulation knows of a request from outside.
#[derive(Debug)]
struct Known {
    name: u64,
    priority: Priority,
    streamed: bool,
    started: bool,
    /// Where it waits, since when, and how often others of lower priority went before it.
    waits: Option<(Stage, Duration, u32)>,
    cancelled: bool,
    deadline: Option<Duration>,
    /// Whether there was another live request at any time since it was submitted.
    has_company: bool,
    /// The stage and the window that come next.
    next: (Stage, u64),
}

struct Running {
    until: Duration,
    stage: Stage,
    tasks: Vec<Task<Window>>,
}

struct Simulation {
    random: Random,
    limits: Limits,
    scheduler: Scheduler<Window>,
    now: Duration,
    known: HashMap<RequestId, Known>,
    running: Vec<Running>,
    next_submit: Duration,
    submitted: u64,
    refused: u64,
    ended: Vec<u64>,
    longest_service_ms: u64,
    /// For each stage: turns since one was given to a window for its age.
    turns: [u32; 3],
    /// For each stage: the window that waits longest, and how often it was passed over.
    passed_over: [(RequestId, u32); 3],
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let shares_cores = random.one_in(2);
        // Either several encoders, or one that takes several windows.
        let several = 1 + random.below(5) as usize;
        let (encoders, batch) = if shares_cores { (several, 1) } else { (1, several) };
        let workers = [1 + random.below(4) as usize, encoders, 1 + random.below(4) as usize];
        let limits = Limits {
            mode: if random.one_in(5) { Mode::Sequential } else { Mode::Pipelined },
            queue: 1 + random.below(30) as usize,
            workers,
            batch,
            shares_cores,
            under_way: [1 + random.below(4) as usize, 1 + random.below(3) as usize, 1 + random.below(10) as usize],
            ageing: if random.one_in(3) { NEVER } else { random.ms(400) },
        };
        // The smallest pools that may not block for ever: one for a window, and one kept for a live one.
        let mut pool = |name, least: usize| Pool::new(name, least + random.below(4) as usize, 1);
        let pools = Pools {
            audio: pool("audio", limits.under_way.iter().sum()),
            mel: pool("mel", 2),
            encoded: pool("encoder output", 2),
        };
        Self {
            scheduler: Scheduler::new(limits, pools),
            limits,
            longest_service_ms: 1 + random.below(60),
            random,
            now: Duration::ZERO,
            known: HashMap::new(),
            running: Vec::new(),
            next_submit: Duration::ZERO,
            submitted: 0,
            refused: 0,
            ended: Vec::new(),
            turns: [0; 3],
            passed_over: [(RequestId(0), 0); 3],
        }
    }

    fn run(&mut self) {
        let requests = 5 + self.random.below(50);
        while self.submitted < requests || !self.scheduler.is_empty() {
            self.assign();
            let next_end = self.running.iter().map(|running| running.until).min();
            let submits_at = (self.submitted < requests).then_some(self.next_submit);
            match (submits_at, next_end) {
                (Some(at), end) if end.is_none_or(|end| at <= end) => {
                    self.now = at;
                    self.submit();
                    let pause = if self.random.one_in(3) { self.random.ms(30) } else { Duration::ZERO };
                    self.next_submit = self.now + pause;
                }
                (_, Some(end)) => {
                    self.now = end;
                    let index = self.running.iter().position(|running| running.until == end).expect("it is there");
                    let running = self.running.swap_remove(index);
                    self.end(running);
                }
                (_, None) => panic!("nothing runs and nothing is handed out, but {:?} are left", self.known),
            }
            if self.random.one_in(25) {
                self.cancel();
            }
            if self.random.one_in(500) {
                self.scheduler.cancel_all();
                self.known.values_mut().for_each(|known| known.cancelled = true);
            }
            self.sweep();
        }
        self.check_the_end();
    }

    fn submit(&mut self) {
        self.submitted += 1;
        let name = self.submitted;
        let priority = Priority::ALL[self.random.below(3) as usize];
        let deadline = self.random.one_in(8).then(|| self.now + self.random.ms(500));
        let streamed = self.random.one_in(2);
        let of = if priority == Priority::Live { 1 } else { 1 + self.random.below(6) };
        let window = Window { name, index: 0, of, audio: None, mel: None, encoded: None };
        let waiting = self.known.values().filter(|known| !known.started).count();
        let mut has_company = false;
        for known in self.known.values_mut().filter(|known| known.priority == Priority::Live) {
            has_company = true;
            known.has_company |= priority == Priority::Live;
        }
        match self.scheduler.submit(priority, deadline, streamed, window, self.now) {
            Ok(id) => {
                assert!(waiting < self.limits.queue, "the queue holds more than it may");
                let known = Known {
                    name,
                    priority,
                    streamed,
                    started: false,
                    waits: Some((Stage::Mel, self.now, 0)),
                    cancelled: false,
                    deadline,
                    has_company,
                    next: (Stage::Mel, 0),
                };
                assert!(self.known.insert(id, known).is_none(), "{id} is given twice");
            }
            Err((full, window)) => {
                assert_eq!((full.queued, window.name), (self.limits.queue, name), "it is refused without need");
                assert!(full.retry_after >= SHORTEST_HINT && full.retry_after <= LONGEST_HINT);
                self.refused += 1;
            }
        }
    }

    /// Every worker that has nothing to do asks for something, in any order.
    fn assign(&mut self) {
        loop {
            let first = self.random.below(3) as usize;
            let idle = (0..3).map(|offset| Stage::ALL[(first + offset) % 3]).find(|stage| {
                let busy = self.running.iter().filter(|running| running.stage == *stage).count();
                busy < self.limits.workers[*stage as usize] && self.scheduler.has_work(*stage, self.now)
            });
            let Some(stage) = idle else { return };
            let mut tasks = Vec::new();
            self.scheduler.take(stage, self.now, &mut tasks);
            assert!(!tasks.is_empty(), "{stage} was said to have work");
            assert!(tasks.len() <= if stage == Stage::Encode { self.limits.batch } else { 1 });
            for (index, task) in tasks.iter_mut().enumerate() {
                self.check_taken(stage, task, index == 0);
            }
            self.check_cores(stage, &tasks);
            let until = self.now + self.random.ms(self.longest_service_ms);
            self.running.push(Running { until, stage, tasks });
            if self.limits.mode == Mode::Sequential {
                assert_eq!(self.running.iter().map(|running| running.tasks.len()).sum::<usize>(), 1);
            }
        }
    }

    fn check_taken(&mut self, stage: Stage, task: &mut Task<Window>, leads: bool) {
        let known = &self.known[&task.id];
        assert_eq!(known.name, task.work.name, "a request is handed out as another");
        assert_eq!(known.next, (stage, task.work.index), "a window is worked on out of order");
        assert_eq!(task.starts, !known.started);
        assert_eq!(task.out.is_some(), stage != Stage::Decode);
        assert_eq!(task.audio.is_some(), task.starts && known.streamed);
        let Some((at, since, passed)) = known.waits else { panic!("{} is handed out twice", task.id) };
        assert_eq!((at, task.waited), (stage, self.now - since));
        let priority = known.priority;
        if priority == Priority::Live && !known.has_company {
            // One window, which is a service in each stage; or, where age cannot interfere, the only worker's present service.
            let services = if self.limits.ageing < NEVER || self.limits.mode == Mode::Sequential {
                3 * (1 + passed)
            } else {
                u32::from(self.limits.workers[stage as usize] == 1)
            };
            let most = Duration::from_millis(self.longest_service_ms) * services;
            assert!(task.waited <= most, "a live window waited {:?} for {stage}, not {most:?}", task.waited);
        }

        // Whoever is started and waits for the same stage could have had the turn.
        let others = self.known.iter().filter(|(id, other)| {
            **id != task.id && other.started && other.waits.is_some_and(|(at, _, _)| at == stage)
        });
        let others: Vec<(RequestId, Priority)> = others.map(|(id, other)| (*id, other.priority)).collect();
        let inverted = others.iter().any(|(_, other)| *other < priority);
        if inverted {
            assert!(leads, "what goes together with another has a turn for its age");
            assert!(task.waited >= self.limits.ageing, "a more urgent window is passed over by one that is not old");
            assert!(self.turns[stage as usize] >= TURNS_OF_OTHERS, "age gets more than every fourth turn");
            self.turns[stage as usize] = 0;
            let older = |(id, other): &(RequestId, Priority)| {
                *other >= priority && self.known[id].waits.is_some_and(|(_, other_since, _)| other_since < since)
            };
            assert!(!others.iter().any(older), "the turn for the oldest goes to another");
        } else {
            self.turns[stage as usize] += u32::from(leads);
            let earlier = others.iter().any(|(id, other)| *other == priority && *id < task.id);
            // Within its priority too, age may be what the turn is given for; else the first goes first.
            assert!(!earlier || task.waited >= self.limits.ageing, "a later request overtakes its equal");
        }
        // The oldest of all gets its turn, if nothing but urgency is in its way.
        let waiting = self.known.iter().filter_map(|(id, known)| match known.waits {
            Some((at, since, _)) if at == stage => Some((since, *id, known)),
            _ => None,
        });
        if let Some((since, id, oldest)) = waiting.min_by_key(|(since, id, _)| (*since, *id)).filter(|_| leads) {
            let passed_over = oldest.started && oldest.priority > priority && self.now - since >= self.limits.ageing;
            let (before, times) = self.passed_over[stage as usize];
            let times = if passed_over { 1 + if before == id { times } else { 0 } } else { 0 };
            assert!(times <= TURNS_OF_OTHERS, "an old window starves");
            self.passed_over[stage as usize] = (id, times);
        }
        let live = self.limits.under_way[Priority::Live as usize] as u32;
        for known in self.known.values_mut().filter(|known| known.priority < priority) {
            if let Some((at, _, passed)) = &mut known.waits
                && *at == stage
            {
                *passed += u32::from(leads);
                let held_up = known.priority == Priority::Live && known.started && *passed > 1 + live / TURNS_OF_OTHERS;
                assert!(!held_up, "a live window is held up");
            }
        }
        let known = self.known.get_mut(&task.id).expect("it was found above");
        known.started = true;
        known.waits = None;
        task.work.audio = task.audio.take().or(task.work.audio.take());
    }

    /// Where cores are shared, one window is encoded at a time, while fewer are decoded than can be side by side, and none while
    /// a live request is under way. Live ones do not wait for that, nor do those whose age gives them the turn.
    fn check_cores(&self, stage: Stage, tasks: &[Task<Window>]) {
        if !self.limits.shares_cores || stage != Stage::Encode {
            return;
        }
        let is_old = tasks[0].waited >= self.limits.ageing;
        if self.known[&tasks[0].id].priority == Priority::Live || is_old {
            return;
        }
        let running = |stage| self.running.iter().filter(move |running| running.stage == stage);
        assert_eq!(running(Stage::Encode).count(), 0, "two windows are encoded beside each other");
        let waits = |known: &&Known| matches!(known.waits, Some((Stage::Decode, ..)));
        let decoded = running(Stage::Decode).count() + self.known.values().filter(waits).count();
        let side_by_side = self.limits.workers[Stage::Decode as usize].saturating_sub(1).max(1);
        assert!(decoded < side_by_side, "more is encoded than is decoded side by side");
        let mut live = self.known.values().filter(|known| known.priority == Priority::Live && known.started);
        assert!(live.next().is_none(), "another window is encoded while a live request is under way");
    }

    fn end(&mut self, running: Running) {
        let Running { stage, tasks, .. } = running;
        for mut task in tasks {
            let mut window = task.work;
            match stage {
                Stage::Mel => window.mel = task.out.take(),
                Stage::Encode => {
                    window.mel = None;
                    window.encoded = task.out.take();
                }
                Stage::Decode => {
                    window.encoded = None;
                    window.index += 1;
                }
            }
            if window.index == window.of || self.random.one_in(60) {
                // At its end; or the stage failed, panicked, or saw that it was cancelled.
                drop(window);
                self.scheduler.finish(task.id, self.now);
                let known = self.known.remove(&task.id).expect("it was not ended before");
                self.ended.push(known.name);
            } else {
                let known = self.known.get_mut(&task.id).expect("it was not ended before");
                known.next = (stage.next(), window.index);
                known.waits = Some((stage.next(), self.now, 0));
                self.scheduler.pass(task.id, window, self.now);
            }
        }
    }

    fn cancel(&mut self) {
        let id = RequestId(1 + self.random.below(self.submitted + 2));
        self.scheduler.cancel(id);
        if let Some(known) = self.known.get_mut(&id) {
            known.cancelled = true;
        }
    }

    fn sweep(&mut self) {
        while let Some((id, window, stop)) = self.scheduler.sweep(self.now) {
            let known = self.known.remove(&id).expect("it was not ended before");
            assert_eq!(known.name, window.name);
            assert!(known.waits.is_some(), "a running request is taken away from its stage");
            match stop {
                Stop::Cancelled => assert!(known.cancelled),
                Stop::Deadline => assert!(known.deadline.is_some_and(|deadline| deadline <= self.now)),
            }
            self.ended.push(known.name);
        }
        for known in self.known.values().filter(|known| known.waits.is_some()) {
            assert!(!known.cancelled && known.deadline.is_none_or(|deadline| deadline > self.now));
        }
        let waiting = self.known.values().filter(|known| known.waits.is_some());
        assert_eq!(self.scheduler.next_deadline(), waiting.filter_map(|known| known.deadline).min());
    }

    fn check_the_end(&mut self) {
        assert!(self.known.is_empty() && self.running.is_empty());
        let delivered = self.ended.len() as u64;
        self.ended.sort_unstable();
        self.ended.dedup();
        assert_eq!(delivered, self.ended.len() as u64, "a request ended twice");
        assert_eq!(delivered + self.refused, self.submitted, "a request was lost");
        for stats in self.scheduler.pools().stats() {
            assert_eq!(stats.in_use, 0, "a lease of {} leaked", stats.name);
        }
    }
}

#[test]
fn no_schedule_loses_repeats_inverts_or_leaks() {
    for seed in 0..SCHEDULES {
        let outcome = std::panic::catch_unwind(|| Simulation::new(seed).run());
        assert!(outcome.is_ok(), "schedule {seed} went wrong; what is wrong is said above");
    }
}

fn scheduler(batch: usize) -> Scheduler<u32> {
    let limits = Limits {
        mode: Mode::Pipelined,
        queue: 100,
        workers: [1; 3],
        batch,
        shares_cores: false,
        under_way: [2, 2, 9],
        ageing: Duration::from_secs(5),
    };
    let pool = |name| Pool::new(name, 10, 1);
    Scheduler::new(limits, Pools { audio: pool("audio"), mel: pool("mel"), encoded: pool("encoder output") })
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn age_gets_every_fourth_turn() {
    let mut scheduler = scheduler(1);
    let mut submit = |priority, work| scheduler.submit(priority, None, false, work, at(0)).expect("there is room");
    let batch = submit(Priority::Batch, 0);
    for work in 1..20 {
        submit(Priority::Live, work);
    }
    let mut turns = Vec::new();
    for _ in 0..8 {
        let mut tasks = Vec::new();
        scheduler.take(Stage::Mel, at(6), &mut tasks);
        turns.push(tasks[0].id == batch);
        scheduler.finish(tasks[0].id, at(6));
    }
    assert_eq!(turns, [false, false, false, true, false, false, false, false]);
}

#[test]
fn a_live_window_is_not_encoded_with_others() {
    let mut scheduler = scheduler(3);
    let mut tasks = Vec::new();
    for priority in [Priority::Batch, Priority::Live, Priority::Batch, Priority::Interactive] {
        scheduler.submit(priority, None, false, 0, at(0)).expect("there is room");
        scheduler.take(Stage::Mel, at(0), &mut tasks);
        let task = tasks.pop().expect("there is one");
        scheduler.pass(task.id, task.work, at(0));
    }
    let mut encoded = || {
        let mut tasks = Vec::new();
        scheduler.take(Stage::Encode, at(0), &mut tasks);
        tasks.iter().map(|task| task.id.0).collect::<Vec<_>>()
    };
    assert_eq!((encoded(), encoded()), (vec![2], vec![4, 1, 3]));
}

#[test]
fn the_hint_follows_the_pace() {
    let mut scheduler = scheduler(1);
    let mut now = Duration::ZERO;
    while scheduler.submit(Priority::Batch, None, false, 0, now).is_ok() {}
    for _ in 0..60 {
        let mut tasks = Vec::new();
        scheduler.take(Stage::Mel, now, &mut tasks);
        now += Duration::from_secs(3);
        scheduler.finish(tasks[0].id, now);
    }
    while scheduler.submit(Priority::Batch, None, false, 0, now).is_ok() {}
    let Err((full, _)) = scheduler.submit(Priority::Batch, None, false, 0, now) else { panic!("the queue is full") };
    assert!((2.9..3.1).contains(&full.retry_after.as_secs_f64()), "{full:?}");
}
