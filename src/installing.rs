//! `softstop install DIR`: the running binary copied into a folder, for an image whose own start is put behind softstop. The image that
//! carries softstop has no `cp`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use softstop::exit;

use crate::console::{print, say};

const NAME: &str = "softstop";
/// For everybody: the program that it is put before runs as whom the image says.
const MODE: u32 = 0o755;
/// One read of a comparison.
const PIECE: usize = 64 * 1024;

pub fn install(folder: &Path) -> u8 {
    let place = folder.join(NAME);
    match copy(&place) {
        Ok(Done::Copied(bytes)) => print(&format!("{}: installed ({bytes} bytes)\n", place.display())),
        Ok(Done::There) => print(&format!("{}: these bytes are there already\n", place.display())),
        Err(why) => {
            say(&why);
            return exit::FAILED;
        }
    }
    exit::OK
}

enum Done {
    Copied(u64),
    There,
}

fn copy(place: &Path) -> Result<Done, String> {
    let own = own()?;
    let mut binary =
        File::open(&own).map_err(|e| format!("{}: cannot read softstop's own binary: {e}", own.display()))?;
    if is_the_same(&mut binary, place) {
        return Ok(Done::There);
    }
    let bytes = File::open(&own).and_then(|mut binary| put(&mut binary, place));
    bytes.map(Done::Copied).map_err(|e| in_words(place, &e))
}

/// By the descriptor that the kernel keeps where there is a /proc: right whatever became of the name since.
fn own() -> Result<PathBuf, String> {
    let (kept, typed) = (PathBuf::from("/proc/self/exe"), std::env::args_os().next().map(PathBuf::from));
    match typed {
        _ if kept.exists() => Ok(kept),
        Some(typed) if typed.is_absolute() => Ok(typed),
        _ => Err("softstop does not know where its own binary is, as there is no /proc: start it by its whole path, \
                  as in /softstop install DIR"
            .into()),
    }
}

/// As a file, executable by everybody, and not merely a link to one.
fn is_the_same(binary: &mut File, place: &Path) -> bool {
    let mut read = || -> io::Result<bool> {
        let about = fs::symlink_metadata(place)?;
        if !about.is_file() || about.permissions().mode() & 0o7777 != MODE || about.size() != binary.metadata()?.size()
        {
            return Ok(false);
        }
        let mut there = File::open(place)?;
        let (mut one, mut other) = (vec![0; PIECE], vec![0; PIECE]);
        loop {
            let read = binary.read(&mut one)?;
            if read == 0 {
                return Ok(true);
            }
            there.read_exact(&mut other[..read])?;
            if one[..read] != other[..read] {
                return Ok(false);
            }
        }
    };
    read().unwrap_or(false)
}

/// Beside its place first, so that nobody ever finds half of it there.
fn put(binary: &mut File, place: &Path) -> io::Result<u64> {
    let beside = place.with_file_name(format!(".{NAME}.{}", std::process::id()));
    let written = write(binary, &beside).and_then(|bytes| fs::rename(&beside, place).map(|()| bytes));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write(binary: &mut File, beside: &Path) -> io::Result<u64> {
    let open = || fs::OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside);
    // Of one with this pid that was killed while it wrote.
    let mut file = match open() {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(beside)?;
            open()?
        }
        opened => opened?,
    };
    let bytes = io::copy(binary, &mut file)?;
    // Whatever the umask is.
    file.set_permissions(fs::Permissions::from_mode(MODE))?;
    file.sync_all()?;
    Ok(bytes)
}

fn in_words(place: &Path, e: &io::Error) -> String {
    let folder = place.parent().unwrap_or(Path::new("/")).display();
    let hint = match e.kind() {
        io::ErrorKind::NotFound => ": make the folder first, or mount a volume there",
        io::ErrorKind::NotADirectory => ": it is a file, and softstop is to be put into a folder",
        io::ErrorKind::PermissionDenied => ": the user that softstop runs as may not write there",
        io::ErrorKind::ReadOnlyFilesystem => ": mount a volume there that is not read-only, such as an emptyDir",
        io::ErrorKind::StorageFull => ": the volume is too small for softstop",
        io::ErrorKind::IsADirectory => ": there is a folder of that name",
        _ => "",
    };
    format!("{folder}: softstop could not be installed there: {e}{hint}")
}
