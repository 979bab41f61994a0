//! One TCP connection: bytes in to the server, bytes out in order, and the ways in which it ends.
//!
//! Of MQTT, this file knows only the Keep Alive, which limits the time between two reads.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use crate::server::{ConnectionId, Server};

/// How many orders may wait for a Client that does not read. The reader stops before its answers can overflow them.
const ORDERS_MAX: usize = 1 << 18;
/// How many answers one read can cause at most: the shortest packet has two bytes.
const ANSWERS_MAX: usize = READ_MAX / 2;
const READ_MAX: usize = 16_384;
/// How many bytes may wait for a Client that does not read before it gets no more QoS 0.
const WAITING_MAX: usize = 16 << 20;
/// How many bytes one write collects.
const WRITE_MAX: usize = 65_536;
/// How long a connection is still read after the FIN. Closing it with unread bytes would send an RST, which can
/// overtake the last packet in the Client's kernel.
const LINGER: Duration = Duration::from_secs(1);
/// How long a Client has to read what was sent before the FIN. One that does not read must be closed too.
const CLOSE_MAX: Duration = Duration::from_secs(5);

enum Order {
    Bytes(Vec<u8>),
    Fin,
}

/// The server's end of a connection.
#[derive(Clone)]
pub(crate) struct Link {
    orders: mpsc::Sender<Order>,
    /// The bytes in orders that are not being written yet.
    waiting: Rc<Cell<usize>>,
    /// When bytes were last queued.
    last_sent: Rc<Cell<Option<Instant>>>,
    reset: Rc<Notify>,
    closing: Rc<Notify>,
}

impl Link {
    /// Sends bytes after those that wait. A Client for which far too much waits is reset.
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        let count = bytes.len();
        match self.orders.try_send(Order::Bytes(bytes)) {
            Ok(()) => {
                self.waiting.set(self.waiting.get() + count);
                self.last_sent.set(Some(Instant::now()));
            }
            Err(_) => self.reset(),
        }
    }

    /// Whether there is room for a delivery in addition to the answers that the Client is due.
    pub(crate) fn has_room(&self) -> bool {
        self.orders.capacity() > ORDERS_MAX / 2 && self.waiting.get() < WAITING_MAX
    }

    /// When bytes were last queued; absent when none were.
    pub(crate) fn last_sent(&self) -> Option<Instant> {
        self.last_sent.get()
    }

    /// Closes the connection by FIN, after the bytes that wait.
    pub(crate) fn close(&self) {
        self.closing.notify_one();
        if self.orders.try_send(Order::Fin).is_err() {
            self.reset();
        }
    }

    /// Resets the connection now; bytes that wait are lost.
    pub(crate) fn reset(&self) {
        self.reset.notify_one();
    }
}

/// How the writing side ended.
enum Written {
    /// The FIN is on its way.
    Fin,
    /// The Client is gone.
    Failed,
    /// The Client accepted nothing for too long.
    Stalled,
}

/// Registers a connection before it returns, and serves it to its end in the future. Two steps, so that a reset of all
/// connections includes those that have not been served yet.
pub(crate) fn serve(stream: TcpStream, server: Rc<RefCell<Server>>) -> impl Future<Output = ()> {
    let (orders, taken_up) = mpsc::channel(ORDERS_MAX);
    let link = Link {
        orders,
        waiting: Rc::default(),
        last_sent: Rc::default(),
        reset: Rc::default(),
        closing: Rc::default(),
    };
    // If the Client is already gone, the first read shows it.
    let _ = stream.set_nodelay(true);
    let id = server.borrow_mut().accept(link.clone());
    async move {
        tokio::select! {
            // A reset comes first: a connection that ends by itself at the same moment would be closed by FIN.
            biased;
            () = link.reset.notified() => reset(&stream),
            () = exchange(&stream, id, &server, &link, taken_up) => {}
        }
        server.borrow_mut().forget(id);
    }
}

/// Moves bytes both ways until both are done.
async fn exchange(
    stream: &TcpStream,
    id: ConnectionId,
    server: &RefCell<Server>,
    link: &Link,
    orders: mpsc::Receiver<Order>,
) {
    let reading = read_all(stream, id, server, link);
    let stall_max = server.borrow().stall_max();
    let writing = write_all(stream, orders, &link.waiting, stall_max);
    tokio::pin!(reading, writing);
    tokio::select! {
        () = &mut reading => {
            // The server is done; its last packet may still be on its way.
            let _ = timeout(LINGER, writing).await;
        }
        written = &mut writing => match written {
            Written::Fin => {
                let _ = timeout(LINGER, reading).await;
            }
            Written::Failed => server.borrow_mut().lost(id),
            Written::Stalled => {
                server.borrow_mut().reset(id);
                reset(stream);
            }
        },
        () = overdue(link) => reset(stream),
    }
}

/// Has the connection end by RST when it is dropped.
fn reset(stream: &TcpStream) {
    // Fails only on a connection that is gone.
    let _ = stream.set_zero_linger();
}

/// Returns when a FIN has been pending for too long.
async fn overdue(link: &Link) {
    link.closing.notified().await;
    sleep(CLOSE_MAX).await;
}

async fn read_all(stream: &TcpStream, id: ConnectionId, server: &RefCell<Server>, link: &Link) {
    let mut chunk = vec![0; READ_MAX];
    let mut buffer = Vec::new();
    loop {
        // A Client that does not read its answers is not read either. Fails only when the writing side has ended.
        let _ = link.orders.reserve_many(ANSWERS_MAX).await;
        let silence_max = server.borrow().silence_max(id);
        let read = match silence_max {
            None => read_some(stream, &mut chunk).await,
            Some(limit) => match timeout(limit, read_some(stream, &mut chunk)).await {
                Ok(read) => read,
                Err(_) => {
                    server.borrow_mut().keep_alive_elapsed(id);
                    continue;
                }
            },
        };
        match read {
            Ok(0) | Err(_) => return server.borrow_mut().lost(id),
            Ok(count) => {
                buffer.extend_from_slice(&chunk[..count]);
                let used = server.borrow_mut().take_in(id, &buffer);
                buffer.drain(..used);
            }
        }
    }
}

async fn read_some(stream: &TcpStream, chunk: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write_all(
    stream: &TcpStream,
    mut orders: mpsc::Receiver<Order>,
    waiting: &Cell<usize>,
    stall_max: Option<Duration>,
) -> Written {
    let mut batch = Vec::new();
    loop {
        let mut next = orders.recv().await;
        let mut is_last = false;
        while let Some(order) = next {
            match order {
                Order::Bytes(bytes) => {
                    waiting.set(waiting.get() - bytes.len());
                    batch.extend_from_slice(&bytes);
                }
                Order::Fin => is_last = true,
            }
            next = if is_last || batch.len() >= WRITE_MAX { None } else { orders.try_recv().ok() };
        }
        match write_batch(stream, &batch, stall_max).await {
            Ok(()) => {}
            Err(error) if stall_max.is_some() && error.kind() == io::ErrorKind::TimedOut => {
                return Written::Stalled;
            }
            Err(_) => return Written::Failed,
        }
        batch.clear();
        if is_last {
            return match rustix::net::shutdown(stream, Shutdown::Write) {
                Ok(()) => Written::Fin,
                Err(_) => Written::Failed,
            };
        }
    }
}

/// Writes all of it. An error of kind `TimedOut` means that the socket accepted nothing for `stall_max`.
async fn write_batch(stream: &TcpStream, mut rest: &[u8], stall_max: Option<Duration>) -> io::Result<()> {
    while !rest.is_empty() {
        match stall_max {
            None => stream.writable().await?,
            Some(limit) => timeout(limit, stream.writable()).await.map_err(io::Error::from)??,
        }
        match stream.try_write(rest) {
            Ok(count) => rest = &rest[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
