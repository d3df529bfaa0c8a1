//! Making sockets that listen: for the probe endpoints, for the orders, and for the processes that are handed theirs. What goes wrong is
//! said in one line: which address, what is in the way, and what to do.

pub mod inet;
pub mod unix;
