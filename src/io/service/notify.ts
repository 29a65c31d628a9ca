import { nativeAddon } from '../native/native-addon.ts'

/** Speaks to the service manager that started us (sd_notify(3)); says nothing when there is none. */
export interface ServiceNotifier {
  /**
   * The service really serves. Starts the watchdog's heartbeat when the unit asks for one.
   * @param isWorking asked at each beat: where the work does not go on there is none, and the service manager starts the service again.
   */
  ready(status?: string, isWorking?: () => boolean): void
  status(text: string): void
  stopping(): void
}

/** @param env `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` as systemd sets them. */
export function createNotifier(env: Readonly<Record<string, string | undefined>>): ServiceNotifier {
  const socket = env['NOTIFY_SOCKET']
  let heartbeat: NodeJS.Timeout | undefined
  const send = (...lines: string[]) => {
    if (!socket || !/^[/@]/.test(socket)) return
    try {
      nativeAddon().sendDatagram(socket, lines.join('\n'))
    } catch {} // nobody listens any more: not our failure
  }
  return {
    ready(status, isWorking = () => true) {
      send('READY=1', ...(status ? [`STATUS=${oneLine(status)}`] : []))
      const interval = watchdogMs(env)
      if (interval && !heartbeat) heartbeat = setInterval(() => isWorking() && send('WATCHDOG=1'), interval / 2).unref()
    },
    status: (text) => send(`STATUS=${oneLine(text)}`),
    stopping() {
      clearInterval(heartbeat)
      send('STOPPING=1')
    },
  }
}

function watchdogMs(env: Readonly<Record<string, string | undefined>>): number | undefined {
  const microseconds = Number(env['WATCHDOG_USEC'])
  const forUs = !env['WATCHDOG_PID'] || Number(env['WATCHDOG_PID']) === process.pid
  return forUs && Number.isFinite(microseconds) && microseconds >= 2000 ? microseconds / 1000 : undefined
}

const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ').slice(0, 500)
