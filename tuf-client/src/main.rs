//! The command line of the client.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
