// A process for WarmProcess: works, or waits, so many milliseconds, and says that a test has passed.
process.on('message', async ({ work = 0, wait = 0 }: { work?: number; wait?: number }) => {
  const start = process.cpuUsage()
  while (process.cpuUsage(start).user < work * 1000);
  await new Promise((done) => setTimeout(done, wait))
  process.send?.({ passed: true, count: 1, failed: [] })
})
