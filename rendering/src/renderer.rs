//! The node's side: workers that are there, who waits for one, and what becomes of one that hangs or dies.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{Semaphore, mpsc};

use crate::wire::{self, Answer, JPEG_LIMIT_BYTES, Question};
use crate::{Asked, Fault, INSTANCE_LIMIT_BYTES, Rendered, SIDE_LEAST, SIDE_LIMIT};

/// The bytes of an instance, in order; what reads them may end early with an error.
pub type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// How pictures are made.
#[derive(Debug, Clone)]
pub struct RendererOptions {
    /// The program that answers as [`crate::worker::run`] does, and its arguments.
    pub program: PathBuf,
    pub arguments: Vec<OsString>,
    /// Pictures made at once; each may take a core and [`crate::worker`]'s memory.
    pub workers: usize,
    /// Who waits for a worker beyond those at work; more are told to come again.
    pub waiting: usize,
    /// From the first byte of an instance to the last of its JPEG.
    pub time_limit: Duration,
}

impl RendererOptions {
    /// Workers that run `arguments` of this very program, whatever has become of its file since.
    pub fn of_this_program(arguments: impl IntoIterator<Item = &'static str>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arguments: arguments.into_iter().map(OsString::from).collect(),
            // Half of the cores are for the archive itself; more than eight no clinic page asks for.
            workers: (cores / 2).clamp(1, 8),
            // Some pages of thumbnails; who waits longer than for those has left.
            waiting: 64,
            time_limit: Duration::from_secs(30),
        }
    }
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    #[error("正在转换的图像过多，请稍后重试 (too many pictures at once: try again)")]
    Busy,
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("图像转换超时，请用影像工作站调阅 (the picture took too long)")]
    TimedOut,
    #[error(
        "图像转换进程异常退出：该图像无法显示，请用影像工作站调阅 (the process that made the picture died)"
    )]
    Died,
    #[error("影像读取失败，请稍后重试 (the instance cannot be read)")]
    Source(#[source] io::Error),
    #[error("图像转换进程无法启动 (the process that makes pictures cannot be started)")]
    Start(#[source] io::Error),
}

/// Makes pictures in processes of their own. Clones share them.
#[derive(Clone)]
pub struct Renderer {
    shared: Arc<Shared>,
}

struct Shared {
    options: RendererOptions,
    idle: Mutex<Vec<Worker>>,
    at_work: Semaphore,
    places: Semaphore,
}

fn died(error: io::Error) -> RenderError {
    tracing::warn!(%error, "a process that makes pictures died");
    RenderError::Died
}

/// One process. It is killed when this is dropped, so that one whose conversation broke off is never used again.
struct Worker {
    /// Killed when this is dropped.
    _child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl std::fmt::Debug for Renderer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer")
            .field("options", &self.shared.options)
            .finish_non_exhaustive()
    }
}

impl Renderer {
    /// Starts nothing yet: workers come when pictures are asked for, and stay.
    pub fn new(options: RendererOptions) -> Self {
        let workers = options.workers.max(1);
        let shared = Shared {
            at_work: Semaphore::new(workers),
            places: Semaphore::new(workers + options.waiting),
            idle: Mutex::new(Vec::new()),
            options,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// One frame of an instance of `length` bytes (Part 10 stream). Ends with the caller: a worker that is left in the
    /// middle is killed.
    pub async fn render(
        &self,
        length: u64,
        mut pieces: Pieces,
        asked: &Asked,
    ) -> Result<Rendered, RenderError> {
        if length > INSTANCE_LIMIT_BYTES {
            return Err(Fault::TooLarge.into());
        }
        let shared = &*self.shared;
        let _place = shared.places.try_acquire().map_err(|_| RenderError::Busy)?;
        let turn = shared.at_work.acquire().await;
        let _turn = turn.map_err(|_| RenderError::Busy)?;
        let question = Question {
            asked: Asked {
                side: asked.side.clamp(SIDE_LEAST, SIDE_LIMIT),
                ..*asked
            },
            length,
        };
        let answered = async {
            let mut worker = shared.worker_for(&question).await?;
            let answer = worker.answer(&question, &mut pieces).await?;
            Ok::<_, RenderError>((worker, answer))
        };
        let limited = tokio::time::timeout(shared.options.time_limit, answered);
        let (worker, answer) = limited.await.map_err(|_| RenderError::TimedOut)??;
        shared.idle.lock().push(worker);
        Ok(answer?)
    }
}

impl Shared {
    /// A worker that has taken the question. Idle ones may have died meanwhile.
    async fn worker_for(&self, question: &Question) -> Result<Worker, RenderError> {
        loop {
            let idle = self.idle.lock().pop();
            let Some(mut worker) = idle else {
                break;
            };
            if worker.ask(question).await.is_ok() {
                return Ok(worker);
            }
        }
        let mut worker = Worker::start(&self.options).map_err(RenderError::Start)?;
        worker.ask(question).await.map_err(died)?;
        Ok(worker)
    }
}

impl Worker {
    fn start(options: &RendererOptions) -> io::Result<Self> {
        let mut child = Command::new(&options.program)
            .args(&options.arguments)
            // The cluster key may be in the node's.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or_else(|| io::Error::other("a worker has no pipes"))?;
        Ok(Self {
            _child: child,
            input,
            output,
        })
    }

    /// Puts the question, until the worker has taken it.
    async fn ask(&mut self, question: &Question) -> io::Result<()> {
        self.input.write_all(&wire::head(question)?).await?;
        self.input.flush().await?;
        match self.output.read_u8().await? {
            wire::READY => Ok(()),
            _ => Err(io::Error::other("a worker speaks otherwise")),
        }
    }

    /// Sends the instance and hears the answer. After an error the worker is of no more use.
    async fn answer(
        &mut self,
        question: &Question,
        pieces: &mut Pieces,
    ) -> Result<Result<Rendered, Fault>, RenderError> {
        let mut left = question.length;
        while left > 0 {
            let Some(piece) = pieces.recv().await else {
                let cut = io::Error::from(io::ErrorKind::UnexpectedEof);
                return Err(RenderError::Source(cut));
            };
            let piece = piece.map_err(RenderError::Source)?;
            let Some(rest) = left.checked_sub(piece.len() as u64) else {
                let long = io::Error::other("an instance is longer than was said");
                return Err(RenderError::Source(long));
            };
            left = rest;
            self.input.write_all(&piece).await.map_err(died)?;
        }
        self.input.flush().await.map_err(died)?;
        self.hear().await.map_err(died)
    }

    async fn hear(&mut self) -> io::Result<Result<Rendered, Fault>> {
        let mut length = [0; 4];
        self.output.read_exact(&mut length).await?;
        let mut head = vec![0; wire::head_length(length)?];
        self.output.read_exact(&mut head).await?;
        let (columns, rows, length) = match serde_json::from_slice(&head)? {
            Answer::Fault(fault) => return Ok(Err(fault)),
            Answer::Picture {
                columns,
                rows,
                length,
            } => (columns, rows, length),
        };
        if length > JPEG_LIMIT_BYTES {
            return Err(io::Error::other("a JPEG is longer than any of ours"));
        }
        let mut jpeg = Vec::new();
        let mut rest = (&mut self.output).take(length);
        rest.read_to_end(&mut jpeg).await?;
        if jpeg.len() as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Ok(Rendered {
            jpeg,
            columns,
            rows,
        }))
    }
}
