//! Which thread of which process has which clients. The same for threads of one process and for processes of a machine: a client's
//! thread follows from its number, so that every process finds its own clients by itself.

use crate::settings::LoadSettings;
use crate::shape::Shape;

/// A load over processes and their threads. Thread n belongs to process n modulo their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    processes: u32,
    /// Threads in all, the same number in each process.
    threads: u32,
}

impl Split {
    /// For so many processes and threads, as far as there are clients for them.
    pub(crate) fn of(settings: &LoadSettings, processes: u32, threads: u32) -> Self {
        let clients = settings.clients().max(1);
        let processes = processes.clamp(1, clients);
        let each = threads.min(clients).div_ceil(processes).clamp(1, clients / processes);
        Self { processes, threads: processes * each }
    }

    pub(crate) fn processes(self) -> u32 {
        self.processes
    }

    pub(crate) fn threads(self) -> u32 {
        self.threads
    }

    /// The threads of a process.
    pub(crate) fn threads_of(self, process: u32) -> impl Iterator<Item = u32> + Clone {
        (process..self.threads).step_by(self.processes as usize)
    }

    pub(crate) fn is_of(self, thread: u32, process: u32) -> bool {
        thread % self.processes == process
    }

    pub(crate) fn of_publisher(self, number: u32) -> u32 {
        number % self.threads
    }

    pub(crate) fn of_idle(self, number: u32) -> u32 {
        number % self.threads
    }

    /// Members of a group are on one thread. Otherwise the next thread after the publisher's of the same number, but of the same
    /// process: within a process, a publisher learns how far its subscriber is.
    pub(crate) fn of_subscriber(self, shape: Shape, number: u32) -> u32 {
        match shape {
            Shape::Shared => self.threads - 1,
            Shape::Pairs | Shape::Everyone => {
                (number % self.threads + self.threads - self.processes) % self.threads
            }
        }
    }

    /// How many clients each thread has.
    pub(crate) fn clients(self, settings: &LoadSettings) -> Vec<u64> {
        let mut clients = vec![0; self.threads as usize];
        let mut add = |thread: u32| clients[thread as usize] += 1;
        (0..settings.publishers).for_each(|number| add(self.of_publisher(number)));
        (0..settings.subscribers).for_each(|number| add(self.of_subscriber(settings.shape, number)));
        (0..settings.idle).for_each(|number| add(self.of_idle(number)));
        clients
    }

    /// How many clients the process has that has most of them.
    pub(crate) fn clients_of_a_process_max(self, settings: &LoadSettings) -> u64 {
        let clients = self.clients(settings);
        let of = |process| self.threads_of(process).map(|thread| clients[thread as usize]).sum();
        (0..self.processes).map(of).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Split;
    use crate::engine::tests::settings;
    use crate::settings::LoadSettings;
    use crate::shape::Shape;

    fn load(publishers: u32, subscribers: u32, idle: u32) -> LoadSettings {
        LoadSettings { publishers, subscribers, idle, ..settings() }
    }

    #[test]
    fn each_process_has_as_many_threads_and_none_is_without_clients() {
        let of = |clients, processes, threads| {
            let split = Split::of(&load(0, 0, clients), processes, threads);
            (split.processes(), split.threads())
        };
        assert_eq!((of(100, 1, 2), of(100, 3, 2), of(100, 2, 3)), ((1, 2), (3, 3), (2, 4)));
        assert_eq!((of(2, 5, 8), of(5, 2, 8), of(0, 3, 3)), ((2, 2), (2, 4), (1, 1)));
    }

    #[test]
    fn every_client_has_one_thread_and_the_shares_are_even() {
        for shape in [Shape::Pairs, Shape::Everyone] {
            let settings = LoadSettings { shape, ..load(10, 10, 7) };
            let split = Split::of(&settings, 3, 6);
            let clients = split.clients(&settings);
            assert_eq!(clients.iter().sum::<u64>(), 27);
            assert!(clients.iter().max() <= Some(&6), "{clients:?}");
        }
        let shared = LoadSettings { shape: Shape::Shared, ..load(4, 9, 0) };
        let split = Split::of(&shared, 2, 4);
        assert_eq!(
            (split.clients(&shared), split.clients_of_a_process_max(&shared)),
            (vec![1, 1, 1, 10], 11)
        );
    }

    #[test]
    fn a_pair_is_in_one_process_and_on_two_threads_where_there_are_two() {
        let settings = LoadSettings { shape: Shape::Pairs, ..load(50, 50, 0) };
        for (processes, threads) in [(1, 1), (1, 4), (3, 3), (3, 6), (4, 12)] {
            let split = Split::of(&settings, processes, threads);
            for number in 0..50 {
                let (publisher, subscriber) =
                    (split.of_publisher(number), split.of_subscriber(Shape::Pairs, number));
                assert!(split.is_of(subscriber, publisher % split.processes()), "{split:?} {number}");
                assert_eq!(
                    publisher == subscriber,
                    split.threads() == split.processes(),
                    "{split:?} {number}"
                );
            }
        }
    }
}
