//! Events, budgets and faults.
