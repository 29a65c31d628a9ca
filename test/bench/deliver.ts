export function benchDeliver(): void {}
