//! Orders from the run to the honest thread.

use tokio::sync::watch;

#[derive(Clone, Debug, Default)]
struct Orders {
    has_begun: bool,
    proofs: u32,
    is_draining: bool,
}

/// The run's side.
#[derive(Debug)]
pub(crate) struct OrdersSender {
    orders: watch::Sender<Orders>,
}

/// The thread's side. Clones receive the same.
#[derive(Clone, Debug)]
pub(crate) struct OrdersReceiver {
    orders: watch::Receiver<Orders>,
}

/// Both sides; nothing is ordered yet.
pub(crate) fn orders() -> (OrdersSender, OrdersReceiver) {
    let (sender, receiver) = watch::channel(Orders::default());
    (OrdersSender { orders: sender }, OrdersReceiver { orders: receiver })
}

impl OrdersSender {
    /// The run's first phase begins.
    pub(crate) fn begin(&self) {
        self.orders.send_modify(|orders| orders.has_begun = true);
    }

    /// Orders one more proof that the witness hears; returns its number, from 1 on.
    pub(crate) fn prove_witness(&self) -> u32 {
        self.orders.send_modify(|orders| orders.proofs += 1);
        self.orders.borrow().proofs
    }

    /// Nothing is to be sent any more.
    pub(crate) fn drain(&self) {
        self.orders.send_modify(|orders| orders.is_draining = true);
    }
}

impl OrdersReceiver {
    /// Waits until the run's first phase begins.
    pub(crate) async fn begun(&self) {
        let mut orders = self.orders.clone();
        let _run_is_over = orders.wait_for(|orders| orders.has_begun).await;
    }

    /// Waits until nothing is to be sent any more.
    pub(crate) async fn draining(&self) {
        let mut orders = self.orders.clone();
        let _run_is_over = orders.wait_for(|orders| orders.is_draining).await;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.orders.borrow().is_draining
    }

    /// The number of proofs ordered so far.
    pub(crate) fn proofs(&self) -> u32 {
        self.orders.borrow().proofs
    }
}
