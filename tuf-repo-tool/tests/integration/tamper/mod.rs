//! A mirror that misbehaves, and ways around the proxy: unmodified installers must get what was signed, or nothing.

mod bypass;
mod child;
mod old;
mod slow;
mod table;
