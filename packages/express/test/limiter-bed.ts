import express, { type RequestHandler } from 'express'
import { ask, type TestBed } from './test-bed.ts'

export const MINUTE = 60_000

/** A server that answers by itself, behind middlewares. */
export function served(bed: TestBed, ...middlewares: RequestHandler[]): Promise<string> {
  const app = express()
  for (const middleware of middlewares) app.use(middleware)
  return bed.serve(app.use((_req, res) => void res.send('ok')))
}

/** Of so many requests, one after the other. */
export async function statuses(url: string, times: number, key?: string): Promise<number[]> {
  const found: number[] = []
  for (let time = 0; time < times; time += 1)
    found.push((await ask(`${url}/any`, key === undefined ? {} : { key })).status)
  return found
}
