// A program whose help is long, and that does nothing else: it starts in a third of the time of ours.
import { showHelp } from '../../../../src/io/terminal/show-help.ts'

const lines = Array.from({ length: 60 }, (_, i) => `  --option-${i}  An option`)
await showHelp(`Enrols machines\n\n${lines.join('\n')}\n  --json\n`, { stream: process.stdout, env: process.env })
