//! The recorder as SQLite calls it: the default file system with a note taken on each write, cut, sync and deletion.
//!
//! The only unsafe code of the engine, and only in tests: SQLite takes a file system as a table of C functions, and
//! nothing safe stands between. Each function keeps to two facts. SQLite gives `xOpen` a block of `szOsFile` bytes; its
//! head is a [`File`] of ours and the rest is the default file system's own file. And SQLite calls the other functions
//! only with a block that `xOpen` has filled, from one thread at a time.
#![expect(unsafe_code, reason = "SQLite's file systems are tables of C functions")]

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use rusqlite::ffi;

use super::{Event, Recorder};

/// The head of a file's block. The default file system's file follows it. SQLite aligns blocks for pointers, and so is this.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    recorder: &'static Recorder,
    /// Leaked at the opening and taken back at the closing; null for nameless temporary files, which are not recorded.
    path: *const SharedPath,
}

type SharedPath = Arc<Path>;

/// What a registered file system leads to.
struct App {
    recorder: &'static Recorder,
    default: *mut ffi::sqlite3_vfs,
}

/// Registers a copy of the default file system that notes in `recorder`.
pub(super) fn register(recorder: &'static Recorder) {
    let name = CString::new(recorder.name()).expect("a name without NUL").into_raw();
    // SAFETY: null asks for the default file system, which lives as long as the process.
    let default = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
    assert!(!default.is_null(), "SQLite has a default file system");
    // SAFETY: it is not null, and SQLite does not change it while it is registered.
    let mut vfs = unsafe { *default };
    vfs.zName = name;
    vfs.pNext = ptr::null_mut();
    vfs.szOsFile += c_int::try_from(size_of::<File>()).expect("a small block");
    vfs.pAppData = Box::into_raw(Box::new(App { recorder, default })).cast();
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    // SAFETY: the table, its name and its data are leaked, so they outlive every use.
    let code = unsafe { ffi::sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 0) };
    assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the file system");
}

/// # Safety
/// `vfs` is one that [`register`] made.
unsafe fn app<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a App {
    unsafe { &*(*vfs).pAppData.cast::<App>() }
}

/// # Safety
/// `file` is a block that [`open`] got.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    unsafe { file.cast::<File>().add(1).cast() }
}

/// # Safety
/// `file` is a block that [`open`] has filled.
unsafe fn record(file: *mut ffi::sqlite3_file, event: impl FnOnce(Arc<Path>) -> Event) {
    let file = unsafe { &*file.cast::<File>() };
    if !file.path.is_null() {
        file.recorder.add(event(Arc::clone(unsafe { &*file.path })));
    }
}

/// # Safety
/// `name` is null or a string of C.
unsafe fn path_of(name: *const c_char) -> Option<SharedPath> {
    if name.is_null() {
        return None;
    }
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    Some(Path::new(OsStr::from_bytes(bytes)).into())
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    unsafe {
        let App { recorder, default } = app(vfs);
        let real = real(file);
        let open = (**default).xOpen.expect("every file system opens");
        let code = open(*default, name, real, flags, out_flags);
        // SQLite closes a file whose opening failed when it has methods; then so does ours.
        let is_closed = (*real).pMethods.is_null();
        let methods = if is_closed { ptr::null() } else { &raw const METHODS };
        let path = path_of(name).filter(|_| !is_closed);
        let path = path.map_or(ptr::null(), |path| Box::into_raw(Box::new(path)).cast_const());
        let base = ffi::sqlite3_file { pMethods: methods };
        file.cast::<File>().write(File { base, recorder, path });
        code
    }
}

unsafe extern "C" fn delete(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    sync_folder: c_int,
) -> c_int {
    unsafe {
        let App { recorder, default } = app(vfs);
        let code =
            (**default).xDelete.expect("every file system deletes")(*default, name, sync_folder);
        if code == ffi::SQLITE_OK
            && let Some(path) = path_of(name)
        {
            recorder.add(Event::Delete { path });
        }
        code
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    unsafe {
        let real = real(file);
        let code = methods(real).xClose.expect("every file closes")(real);
        let path = (*file.cast::<File>()).path;
        if !path.is_null() {
            drop(Box::from_raw(path.cast_mut()));
        }
        code
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    count: c_int,
    offset: i64,
) -> c_int {
    unsafe {
        let refusal = (*file.cast::<File>()).recorder.refusal();
        if refusal != ffi::SQLITE_OK {
            return refusal;
        }
        let real = real(file);
        let code = methods(real).xWrite.expect("every file writes")(real, bytes, count, offset);
        if code == ffi::SQLITE_OK {
            let count = usize::try_from(count).expect("a length");
            let bytes = std::slice::from_raw_parts(bytes.cast::<u8>(), count).to_vec();
            let offset = u64::try_from(offset).expect("a place in a file");
            record(file, |path| Event::Write { path, offset, bytes });
        }
        code
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    unsafe {
        let real = real(file);
        let code = methods(real).xTruncate.expect("every file truncates")(real, size);
        if code == ffi::SQLITE_OK {
            let bytes = u64::try_from(size).expect("a length");
            record(file, |path| Event::Truncate { path, bytes });
        }
        code
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    unsafe {
        let real = real(file);
        let code = methods(real).xSync.expect("every file syncs")(real, flags);
        if code == ffi::SQLITE_OK {
            record(file, |path| Event::Sync { path });
        }
        code
    }
}

/// # Safety
/// `real` is an open file of the default file system.
unsafe fn methods<'a>(real: *mut ffi::sqlite3_file) -> &'a ffi::sqlite3_io_methods {
    unsafe { &*(*real).pMethods }
}

/// Functions that only pass the call on to the default file system's file.
macro_rules! pass_on {
    ($($name:ident: $method:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($argument: $kind),*) $(-> $result)? {
            unsafe {
                let real = real(file);
                methods(real).$method.expect("the default file system has it")(real, $($argument),*)
            }
        }
    )*};
}

pass_on! {
    read: xRead(into: *mut c_void, count: c_int, offset: i64) -> c_int;
    file_size: xFileSize(size: *mut i64) -> c_int;
    lock: xLock(level: c_int) -> c_int;
    unlock: xUnlock(level: c_int) -> c_int;
    check_reserved_lock: xCheckReservedLock(result: *mut c_int) -> c_int;
    file_control: xFileControl(operation: c_int, argument: *mut c_void) -> c_int;
    sector_size: xSectorSize() -> c_int;
    device_characteristics: xDeviceCharacteristics() -> c_int;
    shm_map: xShmMap(page: c_int, size: c_int, extend: c_int, at: *mut *mut c_void) -> c_int;
    shm_lock: xShmLock(offset: c_int, count: c_int, flags: c_int) -> c_int;
    shm_barrier: xShmBarrier();
    shm_unmap: xShmUnmap(delete: c_int) -> c_int;
}

/// Version 2: with the shared memory of the log, without memory-mapped files, whose writes nobody could record.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
