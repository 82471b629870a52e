//! The process that decodes: reads questions on its standard input, answers on its standard output, one after the other.
//!
//! It opens nothing and writes nothing else; its memory and its time for one question are limited by the kernel. What it
//! says on standard error is thrown away, since a codec's words may hold what it read.

use std::io::{self, Read, Write};
use std::panic::{self, AssertUnwindSafe};

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

use crate::wire::{self, Answer, Question};
use crate::{Fault, INSTANCE_LIMIT_BYTES, Rendered, frame};

/// Address space of a worker: an instance of the largest size three times over (as it came, as elements, as one frame's
/// pixels), the program itself, and as much again.
const MEMORY_LIMIT_BYTES: u64 = 1536 << 20;
/// Processor time for one question. The largest frames take some seconds; the node itself waits no longer than
/// [`crate::RendererOptions::time_limit`].
const CPU_LIMIT_SECONDS: u64 = 20;

/// Answers until standard input ends.
pub fn run() -> io::Result<()> {
    limit(Resource::As, MEMORY_LIMIT_BYTES)?;
    limit(Resource::Core, 0)?;
    // A panic is an answer like any other.
    panic::set_hook(Box::new(|_| {}));
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while let Some(question) = wire::read_head::<Question>(&mut input)? {
        limit_time()?;
        output.write_all(&[wire::READY])?;
        output.flush()?;
        let instance = read_instance(&mut input, question.length)?;
        let rendered = panic::catch_unwind(AssertUnwindSafe(|| {
            frame::render(&instance, &question.asked)
        }));
        // A JPEG that is larger than Rows × Columns panics, for one.
        match rendered.unwrap_or(Err(Fault::Damaged)) {
            Ok(Rendered {
                jpeg,
                columns,
                rows,
            }) => {
                let length = jpeg.len() as u64;
                let answer = Answer::Picture {
                    columns,
                    rows,
                    length,
                };
                wire::write(&mut output, &answer, &jpeg)?;
            }
            Err(fault) => wire::write(&mut output, &Answer::Fault(fault), &[])?,
        }
    }
    Ok(())
}

fn read_instance(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    if length > INSTANCE_LIMIT_BYTES {
        return Err(io::Error::other("an instance is longer than the limit"));
    }
    let mut instance = Vec::new();
    input.take(length).read_to_end(&mut instance)?;
    match instance.len() as u64 == length {
        true => Ok(instance),
        // The node has given up.
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(setrlimit(resource, limit)?)
}

/// The kernel counts a process's time from its start, so the limit moves on with each question.
fn limit_time() -> io::Result<()> {
    let used = clock_gettime(ClockId::ProcessCPUTime).tv_sec;
    let used = u64::try_from(used).unwrap_or_default();
    let limit = Rlimit {
        current: Some(used + CPU_LIMIT_SECONDS),
        maximum: None,
    };
    Ok(setrlimit(Resource::Cpu, limit)?)
}
