import { pythonJson } from '../../../core/python/python-json.ts'
import { systemClock } from '../../../io/clock.ts'
import { noteLine } from '../../../io/terminal/print.ts'
import { type CreateOptions, createdText, createRuntimePolicy, type Notes } from '../create-runtime.ts'

/** What upstream's two programs have in common: digests stay though the excludes match them, no source is no error, nor is a repository that is not signed. */
export const UPSTREAM_CREATE = { keepExcluded: true, mayBeEmpty: true, allowUnsigned: true } satisfies CreateOptions

export const NO_LOG = '/dev/null'

export const upstreamNotes: Notes = { tell: (note) => noteLine(note), progress: () => undefined }

/** Upstream's text of a policy: one line, as Python prints it. */
export async function createdLine(options: CreateOptions): Promise<string> {
  return pythonJson(JSON.parse(createdText(await createRuntimePolicy(options, upstreamNotes), systemClock.now())))
}
