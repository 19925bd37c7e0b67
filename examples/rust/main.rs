//! plan_epsilon: what plans cost, asked of dpflash over its C interface alone.

mod dpflash;
mod json;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::exit;

const FAILED: i32 = 1;
const BAD_COMMAND_LINE: i32 = 2;
const CALIBRATE: &str = "--calibrate";
const USAGE: &str = "usage: plan_epsilon DELTA FILE... | plan_epsilon --calibrate EPSILON DELTA COUNT RATE";

enum Command {
    Epsilon { delta: f64, files: Vec<PathBuf> },
    Calibrate { epsilon: f64, delta: f64, count: i64, rate: f64 },
}

/// A finite decimal number. f64's own parser would take nan and inf too.
fn number(name: &str, text: &OsString) -> Result<f64, String> {
    let text = text.to_string_lossy();
    match text.parse() {
        Ok(value) if f64::is_finite(value) => Ok(value),
        _ => Err(format!("plan_epsilon: {}: {} is not a number", name, text)),
    }
}

fn integer(name: &str, text: &OsString) -> Result<i64, String> {
    let text = text.to_string_lossy();
    text.parse().map_err(|_| format!("plan_epsilon: {}: {} is not an integer", name, text))
}

fn command(arguments: &[OsString]) -> Result<Command, String> {
    match arguments {
        [option, epsilon, delta, count, rate] if option == CALIBRATE => Ok(Command::Calibrate {
            epsilon: number("EPSILON", epsilon)?,
            delta: number("DELTA", delta)?,
            count: integer("COUNT", count)?,
            rate: number("RATE", rate)?,
        }),
        [delta, files @ ..] if delta != CALIBRATE && !files.is_empty() => {
            Ok(Command::Epsilon { delta: number("DELTA", delta)?, files: files.iter().map(PathBuf::from).collect() })
        }
        _ => Err(USAGE.to_string()),
    }
}

/// The two ends of epsilon in the digits that the library wrote.
fn bracket_of_file(file: &Path, delta: f64) -> Result<String, Box<dyn Error>> {
    let document = fs::read(file)?;
    // A published run has its plan inside. Any other text is handed on as it is: the library judges it.
    let plan = json::member(&document, "plan").unwrap_or(&document);
    let answer = dpflash::epsilon_json(plan, delta)?;
    let end = |name| {
        let value = json::member(json::member(answer.as_bytes(), "epsilon")?, name)?;
        Some(String::from_utf8_lossy(value))
    };
    match (end("lower"), end("upper")) {
        (Some(lower), Some(upper)) => Ok(format!("{} {}", lower, upper)),
        _ => Err("the library's answer has no bracket".into()),
    }
}

/// The least noise for a target, and the bracket that it was verified to have.
fn calibrated(epsilon: f64, delta: f64, count: i64, rate: f64) -> Result<String, dpflash::Error> {
    let calibration = dpflash::Calibration::gaussian_for(epsilon, delta, count, rate)?;
    let bracket = calibration.epsilon()?;
    Ok(format!("{} {} {}", calibration.noise_multiplier()?, bracket.lower, bracket.upper))
}

/// The file's name without folder and .json.
fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    name.strip_suffix(".json").map(String::from).unwrap_or(name)
}

/// Writes the answers, and says which were not to be had: false if any.
fn run(command: &Command, out: &mut dyn Write) -> io::Result<bool> {
    let mut complete = true;
    let mut failed = |about: &dyn std::fmt::Display, error: &dyn std::fmt::Display| {
        eprintln!("plan_epsilon: {}: {}", about, error);
        complete = false;
    };
    match command {
        Command::Calibrate { epsilon, delta, count, rate } => match calibrated(*epsilon, *delta, *count, *rate) {
            Ok(line) => writeln!(out, "{}", line)?,
            Err(error) => failed(&CALIBRATE, &error),
        },
        Command::Epsilon { delta, files } => {
            for file in files {
                match bracket_of_file(file, *delta) {
                    Ok(bracket) => writeln!(out, "{} {}", name_of(file), bracket)?,
                    Err(error) => failed(&file.display(), &error),
                }
            }
        }
    }
    out.flush()?;
    Ok(complete)
}

fn main() {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let command = command(&arguments).unwrap_or_else(|reason| {
        eprintln!("{}", reason);
        exit(BAD_COMMAND_LINE)
    });
    if let Err(error) = dpflash::check_abi() {
        eprintln!("plan_epsilon: libdpflash.so: {}", error);
        exit(FAILED);
    }
    match run(&command, &mut io::stdout().lock()) {
        Ok(true) => {}
        Ok(false) => exit(FAILED),
        Err(error) => {
            eprintln!("plan_epsilon: standard output: {}", error);
            exit(FAILED)
        }
    }
}
