/** The words of a run are wrong, or `--help`: what may be given. */
export class UsageError extends Error {}

/** What a run of `npm run bench fleet` is asked for. */
export interface Given {
  parts: readonly string[]
  /** Numbers of machines; the largest for what is done once. */
  sizes: readonly number[]
  /** Attestations a second that are asked for, where no interval is given. */
  rate: number
  /** Seconds between two attestations of one machine; null for what the rate gives. */
  interval: number | null
  /** Of measuring. */
  seconds: number
  /** File of the program. */
  executable: string
  /** Whether the results are kept as JSON. */
  writes: boolean
}

/** Parts by name: those of a whole run, of a short one, and those that are only done when they are named. */
export interface PartNames {
  all: readonly string[]
  quick: readonly string[]
  named: readonly string[]
}

const SIZES = '10,100,1000,10000'
const QUICK_SIZES = '10,100,1000'
/** With a value each; what follows is its default. */
const OPTIONS: Record<string, string> = { parts: 'all', agents: '', rate: '2500', interval: '', seconds: '20', executable: '' }
const FLAGS = ['write', 'quick', 'vs-upstream']

/** @throws UsageError */
export function readGiven(args: readonly string[], { all, quick, named }: PartNames, executable: string): Given {
  const { values, flags } = wordsOf(args)
  const isQuick = flags.has('quick')
  const asked = values['parts'] === 'all' ? (isQuick ? quick : all) : values['parts']!.split(',')
  const parts = flags.has('vs-upstream') && !asked.includes('upstream') ? [...asked, 'upstream'] : asked
  const unknown = parts.filter((part) => ![...all, ...named].includes(part))
  if (unknown.length > 0) throw new UsageError(`there is no part ${unknown.join(', ')}: ${[...all, ...named].join(', ')}`)
  const sizes = (values['agents'] || (isQuick ? QUICK_SIZES : SIZES)).split(',').map((text) => numberOf('agents', text))
  return {
    ...{ parts, sizes, executable: values['executable'] || executable, writes: flags.has('write') },
    rate: numberOf('rate', values['rate']!),
    interval: values['interval'] === '' ? null : numberOf('interval', values['interval']!, 0),
    seconds: numberOf('seconds', values['seconds']!),
  }
}

/** Options with their values, and flags. @throws UsageError for what is neither, and for `--help`. */
export function wordsOf(args: readonly string[], options = OPTIONS, flagNames: readonly string[] = FLAGS) {
  const values: Record<string, string> = { ...options }
  const flags = new Set<string>()
  const usage = [
    ...Object.entries(options).map(([name, value]) => `--${name}${value && ` ${value}`}`),
    ...flagNames.map((name) => `--${name}`),
  ]
  for (let i = 0; i < args.length; i++) {
    const name = args[i]!.replace(/^--/, '')
    if (name === 'help') throw new UsageError(`options, with what they are by default: ${usage.join(' ')}`)
    if (flagNames.includes(name)) flags.add(name)
    else if (name in options && args[i + 1] !== undefined) values[name] = args[++i]!
    else throw new UsageError(`${args[i]} is not an option, or lacks its value: ${usage.join(' ')}`)
  }
  return { values, flags }
}

/** @throws UsageError unless it is a number of at least `least`. */
export function numberOf(name: string, text: string, least = 1): number {
  const value = Number(text)
  if (text !== '' && value >= least && Number.isFinite(value)) return value
  throw new UsageError(`--${name}: ${text || 'nothing'} is not a number of at least ${least}`)
}

export const largest = ({ sizes }: Pick<Given, 'sizes'>): number => Math.max(...sizes)

/** Seconds between two attestations of one machine of so many. */
export const intervalOf = ({ interval, rate }: Pick<Given, 'interval' | 'rate'>, count: number): number => interval ?? count / rate

/** Seconds of each of so many windows: whole rounds, as the machines of a small fleet may be asked all in one moment. */
export function windowSeconds(seconds: number, windows: number, interval: number): number {
  const wanted = seconds / windows
  return interval === 0 || interval * 10 < wanted ? wanted : interval * Math.max(1, Math.round(wanted / interval))
}
