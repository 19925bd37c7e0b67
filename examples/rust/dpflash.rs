//! The part of dpflash.h that this program needs, and a safe layer over it.

use std::ffi::CStr;
use std::fmt;
use std::os::raw::c_int;
use std::ptr::{self, NonNull};

/// What dpflash.h declares, written down by hand.
mod c {
    use std::os::raw::{c_char, c_int};

    pub const ABI_VERSION: u32 = 1;
    pub const OK: c_int = 0;
    pub const ERROR_UNSUPPORTED: c_int = 3;
    pub const ERROR_BUFFER_TOO_SMALL: c_int = 8;
    pub const ERROR_INTERNAL: c_int = 9;
    pub const ACCOUNTANT_PLD: i32 = 0;
    pub const ENGINE_AUTO: i32 = 0;
    pub const ADD_OR_REMOVE_ONE: i32 = 0;

    #[repr(C)]
    pub struct Options {
        pub struct_size: u32,
        pub abi_version: u32,
        pub accountant: i32,
        pub engine: i32,
        pub relative_width: f64,
    }

    #[repr(C)]
    pub struct Bracket {
        pub struct_size: u32,
        pub abi_version: u32,
        pub lower: f64,
        pub estimate: f64,
        pub upper: f64,
    }

    #[repr(C)]
    pub struct Releases {
        pub struct_size: u32,
        pub abi_version: u32,
        pub count: i64,
        pub rate: f64,
        pub adjacency: i32,
        pub reserved: i32,
    }

    /// Only ever behind a pointer.
    #[repr(C)]
    pub struct Calibration {
        _private: [u8; 0],
    }

    #[link(name = "dpflash")]
    extern "C" {
        pub fn dpf_status_text(status: c_int) -> *const c_char;
        pub fn dpf_last_error() -> *const c_char;
        pub fn dpf_abi_version() -> u32;
        pub fn dpf_epsilon_json(
            plan: *const c_char,
            plan_length: usize,
            delta: f64,
            options: *const Options,
            buffer: *mut c_char,
            capacity: usize,
            size: *mut usize,
        ) -> c_int;
        pub fn dpf_calibration_gaussian_for(
            target_epsilon: f64,
            delta: f64,
            releases: *const Releases,
            calibration: *mut *mut Calibration,
        ) -> c_int;
        pub fn dpf_calibration_free(calibration: *mut Calibration);
        pub fn dpf_calibration_noise_multiplier(calibration: *const Calibration, noise_multiplier: *mut f64) -> c_int;
        pub fn dpf_calibration_epsilon(calibration: *const Calibration, epsilon: *mut Bracket) -> c_int;
    }
}

/// The size that a public struct begins with.
fn size_of<T>() -> u32 {
    std::mem::size_of::<T>() as u32
}

/// A call that the library refused.
#[derive(Debug)]
pub struct Error {
    pub status: c_int,
    pub reason: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // SAFETY: a text that lives as long as the program, whatever the status.
        let status = unsafe { CStr::from_ptr(c::dpf_status_text(self.status)) };
        write!(f, "{} ({})", self.reason, status.to_string_lossy())
    }
}

impl std::error::Error for Error {}

/// The reason is copied at once, on the thread that made the call: it belongs to the thread, until its next failure.
fn check(status: c_int) -> Result<(), Error> {
    if status == c::OK {
        return Ok(());
    }
    // SAFETY: never null; nothing on this thread calls the library before the text is copied.
    let reason = unsafe { CStr::from_ptr(c::dpf_last_error()) };
    Err(Error { status, reason: reason.to_string_lossy().into_owned() })
}

/// A newer library keeps to this ABI; an older one may lack what is declared here.
pub fn check_abi() -> Result<(), Error> {
    // SAFETY: takes nothing and cannot fail.
    let version = unsafe { c::dpf_abi_version() };
    if version >= c::ABI_VERSION {
        return Ok(());
    }
    let reason = format!("the library has ABI version {}, this program needs {}", version, c::ABI_VERSION);
    Err(Error { status: c::ERROR_UNSUPPORTED, reason })
}

/// The library's JSON answer for the JSON document of a plan.
pub fn epsilon_json(plan: &[u8], delta: f64) -> Result<String, Error> {
    let options = c::Options {
        struct_size: size_of::<c::Options>(),
        abi_version: c::ABI_VERSION,
        accountant: c::ACCOUNTANT_PLD,
        engine: c::ENGINE_AUTO,
        relative_width: 1e-4,
    };
    let mut needed = 1024;
    loop {
        // Each try works the answer out anew, and it holds the time that took: it may come out some digits longer.
        let mut buffer = vec![0u8; needed + 64];
        // SAFETY: plan and buffer are what their lengths say; the library keeps no pointer.
        let status = unsafe {
            c::dpf_epsilon_json(
                plan.as_ptr().cast(),
                plan.len(),
                delta,
                &options,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &mut needed,
            )
        };
        if status == c::ERROR_BUFFER_TOO_SMALL {
            continue;
        }
        check(status)?;
        buffer.truncate(needed - 1);
        return String::from_utf8(buffer)
            .map_err(|error| Error { status: c::ERROR_INTERNAL, reason: error.to_string() });
    }
}

/// A certified interval; `upper` is the end to publish.
pub struct Bracket {
    pub lower: f64,
    pub upper: f64,
}

/// A noise multiplier with the certificate of what it costs.
pub struct Calibration {
    handle: NonNull<c::Calibration>,
}

impl Calibration {
    /// The least Gaussian noise for (epsilon, delta) over `count` releases, each on a Poisson sample of this rate.
    pub fn gaussian_for(epsilon: f64, delta: f64, count: i64, rate: f64) -> Result<Self, Error> {
        let releases = c::Releases {
            struct_size: size_of::<c::Releases>(),
            abi_version: c::ABI_VERSION,
            count,
            rate,
            adjacency: c::ADD_OR_REMOVE_ONE,
            reserved: 0,
        };
        let mut handle = ptr::null_mut();
        // SAFETY: both pointers are to values of this frame; the library keeps neither.
        check(unsafe { c::dpf_calibration_gaussian_for(epsilon, delta, &releases, &mut handle) })?;
        Ok(Calibration { handle: NonNull::new(handle).expect("a call that succeeds gives a handle") })
    }

    pub fn noise_multiplier(&self) -> Result<f64, Error> {
        let mut value = 0.0;
        // SAFETY: the handle lives as long as self.
        check(unsafe { c::dpf_calibration_noise_multiplier(self.handle.as_ptr(), &mut value) })?;
        Ok(value)
    }

    pub fn epsilon(&self) -> Result<Bracket, Error> {
        let mut bracket = c::Bracket {
            struct_size: size_of::<c::Bracket>(),
            abi_version: c::ABI_VERSION,
            lower: 0.0,
            estimate: 0.0,
            upper: 0.0,
        };
        // SAFETY: the handle lives as long as self, and the struct says which version of it this is.
        check(unsafe { c::dpf_calibration_epsilon(self.handle.as_ptr(), &mut bracket) })?;
        Ok(Bracket { lower: bracket.lower, upper: bracket.upper })
    }
}

impl Drop for Calibration {
    fn drop(&mut self) {
        // SAFETY: the handle is this value's own, and this is its last use.
        unsafe { c::dpf_calibration_free(self.handle.as_ptr()) }
    }
}
