//! `logs`: the logs of a service's replicas as one stream; those of a local compute are files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serving::layout;

use super::view::{document, read as read_document, status};
use super::{Compute, Failure, Noun, pods};

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(250);
/// How much of the end of each file is read for its last lines.
const TAIL_BYTES: u64 = 4 << 20;

/// Arguments of `logs`.
#[derive(clap::Args, Clone)]
pub(in crate::cli) struct Args {
    /// Directory of the local compute (`directory` of the resource `azureml_local_compute`).
    #[arg(long, short, value_name = "DIRECTORY", required_unless_present = "namespace", conflicts_with = "namespace")]
    directory: Option<PathBuf>,
    /// Namespace of the compute in a cluster (`namespace` of the resource `azureml_aks_attachment`).
    #[arg(long)]
    namespace: Option<String>,
    /// How to reach the cluster; else by KUBECONFIG or `~/.kube/config`.
    #[arg(long, value_name = "FILE", requires = "namespace")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; else its current one.
    #[arg(long, requires = "namespace")]
    pub(super) context: Option<String>,
    /// Its name.
    pub(super) name: String,
    /// Only this version.
    #[arg(long)]
    pub(super) version: Option<String>,
    /// Only this replica, by its id: in a cluster, the name of its pod.
    #[arg(long)]
    pub(super) replica: Option<String>,
    /// Lines of each replica that are printed at first.
    #[arg(long, default_value_t = 100)]
    pub(super) lines: usize,
    /// Only what was written in the last so many seconds.
    #[arg(long, value_name = "SECONDS", requires = "namespace")]
    pub(super) since: Option<i64>,
    /// Go on with what is written from now on, also by replicas that start later.
    #[arg(long, short)]
    pub(super) follow: bool,
}

/// A log file, and how far it was printed.
struct Source {
    id: String,
    path: PathBuf,
    offset: u64,
}

/// One line of a log.
pub(super) struct Line {
    /// The time that it starts with, or that of the line before; empty if there was none yet.
    pub(super) time: String,
    pub(super) id: String,
    pub(super) text: String,
}

/// Puts the replicas' lines in the order of their times. What a script prints without a time stays after the line before.
pub(super) fn print(out: &mut impl Write, mut lines: Vec<Line>) -> io::Result<()> {
    lines.sort_by(|one, other| one.time.cmp(&other.time));
    for line in lines {
        writeln!(out, "{} | {}", line.id, line.text)?;
    }
    out.flush()
}

/// The scorer's lines start with `2026-01-02 03:04:05,678`.
fn time(text: &str) -> Option<&str> {
    const FORM: &[u8] = b"0000-00-00 00:00:00,000";
    let time = text.get(..FORM.len())?;
    let fits = |(byte, form): (u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == *form };
    time.bytes().zip(FORM).all(fits).then_some(time)
}

/// Prints the logs.
pub(super) fn run(noun: Noun, args: &Args) -> Result<(), Failure> {
    match (&args.directory, &args.namespace) {
        (_, Some(namespace)) => pods::run(noun, args, namespace),
        (Some(directory), None) => {
            Compute { directory: directory.clone() }.enter()?;
            files(noun, args)
        }
        (None, None) => Err(Failure::failed("neither --directory nor --namespace is given".to_owned())),
    }
}

/// The files are the same with and without a supervisor.
fn files(noun: Noun, args: &Args) -> Result<(), Failure> {
    // Logs of a removed service, or beside a broken document, are still worth reading.
    if read_document(&args.name).is_ok() {
        document(noun, "logs", &args.name)?;
    }
    let mut sources = find(args)?;
    if sources.is_empty() {
        explain(noun, args)?;
    }
    let mut out = io::stdout().lock();
    let mut lines = Vec::new();
    for source in &mut sources {
        let mut of_source = read(source, TAIL_BYTES)?;
        lines.extend(of_source.drain(of_source.len().saturating_sub(args.lines)..));
    }
    print(&mut out, lines)?;
    if status()?.is_none() {
        let _ = writeln!(io::stderr(), "azureml-fe: no supervisor runs for this compute; these are its log files");
    }
    let mut known: BTreeMap<PathBuf, Source> =
        sources.into_iter().map(|source| (source.path.clone(), source)).collect();
    if !args.follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(POLL);
        let mut lines = Vec::new();
        for found in find(args)? {
            let source = known.entry(found.path.clone()).or_insert(found);
            lines.extend(read(source, u64::MAX)?);
        }
        print(&mut out, lines)?;
    }
}

/// An empty result has a reason.
fn explain(noun: Noun, args: &Args) -> Result<(), Failure> {
    let (service, word) = (document(noun, "logs", &args.name)?, noun.word());
    if let Some(version) = args.version.as_ref().filter(|version| !service.versions.contains_key(*version)) {
        let known: Vec<&str> = service.versions.keys().map(String::as_str).collect();
        return Err(Failure::unknown(format!(
            "the {word} `{}` has no version `{version}`; versions: {}",
            args.name,
            known.join(", ")
        )));
    }
    if let Some(replica) = &args.replica {
        return Err(Failure::unknown(format!(
            "there is no log of a replica `{replica}`; `azureml-fe {word} show {}` lists the replicas",
            args.name
        )));
    }
    Ok(())
}

fn find(args: &Args) -> Result<Vec<Source>, Failure> {
    let folder = Path::new(layout::LOGS).join(Path::new(&args.name).file_name().unwrap_or_default());
    let mut sources = Vec::new();
    for version in children(&folder)? {
        if args.version.as_ref().is_some_and(|only| version.file_name() != Some(only.as_ref())) {
            continue;
        }
        for path in children(&version)? {
            let Some(id) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")) else { continue };
            if args.replica.as_ref().is_none_or(|only| only == id) {
                sources.push(Source { id: id.to_owned(), path: path.clone(), offset: 0 });
            }
        }
    }
    Ok(sources)
}

fn children(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(Failure::failed(format!("{} cannot be read: {error}", folder.display()))),
    }
}

/// The complete lines after what was printed, of at most the last `most` bytes.
fn read(source: &mut Source, most: u64) -> Result<Vec<Line>, Failure> {
    let file = match File::open(&source.path) {
        Ok(file) => file,
        // Removed meanwhile, with its replica.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::failed(format!("{} cannot be read: {error}", source.path.display()))),
    };
    let length = file.metadata()?.len();
    if length < source.offset {
        // It was rotated.
        source.offset = 0;
    }
    source.offset = source.offset.max(length.saturating_sub(most));
    let mut reader = BufReader::new(file);
    reader.seek(SeekFrom::Start(source.offset))?;
    let mut lines = Vec::new();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 && line.last() == Some(&b'\n') {
        source.offset += line.len() as u64;
        let text = String::from_utf8_lossy(&line[..line.len() - 1]).into_owned();
        let before = lines.last().map(|line: &Line| line.time.clone());
        let time = time(&text).map(str::to_owned).or(before).unwrap_or_default();
        lines.push(Line { time, id: source.id.clone(), text });
        line.clear();
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_several_replicas_are_in_the_order_of_their_times() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = |id: &str, text: &str| {
            let path = folder.path().join(id);
            std::fs::write(&path, text).expect("written");
            read(&mut Source { id: id.to_owned(), path, offset: 0 }, TAIL_BYTES).expect("read")
        };
        let mut lines = source("a", "2026-01-02 03:04:05,001 one\n2026-01-02 03:04:05,003 three\n  its traceback\n");
        lines.extend(source("b", "first words\n2026-01-02 03:04:05,002 two\nunfinished"));
        let mut out = Vec::new();
        print(&mut out, lines).expect("printed");
        let text = String::from_utf8(out).expect("text").replace("2026-01-02 03:04:05,", "");
        assert_eq!(text, "b | first words\na | 001 one\nb | 002 two\na | 003 three\na |   its traceback\n");
    }
}
