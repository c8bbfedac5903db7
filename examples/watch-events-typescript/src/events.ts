// What a client of WatchEvents is: a place in the stream, and a call that is made again from there.

import { createRegistry, toJson, type MessageInitShape } from "@bufbuild/protobuf";
import { anyUnpack, timestampDate } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { setTimeout as pause } from "node:timers/promises";
import { file_flightlog_catalog_v1_cache } from "./generated/flightlog/catalog/v1/cache_pb.js";
import { file_flightlog_execution_v1_facts } from "./generated/flightlog/execution/v1/facts_pb.js";
import { EventFilterSchema, type Event } from "./generated/flightlog/history/v1/events_pb.js";
import { file_flightlog_history_v1_audit } from "./generated/flightlog/history/v1/audit_pb.js";
import { HistoryService } from "./generated/flightlog/history/v1/history_service_pb.js";
import { file_flightlog_launcher_v1_observations } from "./generated/flightlog/launcher/v1/observations_pb.js";
import { file_flightlog_registry_v1_facts } from "./generated/flightlog/registry/v1/facts_pb.js";

// Types of facts that are told with all their fields; others by their name alone.
const types = createRegistry(
  file_flightlog_catalog_v1_cache,
  file_flightlog_execution_v1_facts,
  file_flightlog_history_v1_audit,
  file_flightlog_launcher_v1_observations,
  file_flightlog_registry_v1_facts,
);

// The service stops, the connection broke, or a proxy ended a long call: the events are all still there.
const passing = new Set([Code.Unavailable, Code.Unknown, Code.Internal, Code.Aborted, Code.Canceled, Code.DeadlineExceeded]);
const PAUSES_MS = [50, 100, 200, 500, 1000, 2000];

/** Every event behind `after` that the filter lets through, then those that come, for ever. */
export async function* follow(
  endpoint: string,
  filter: MessageInitShape<typeof EventFilterSchema>,
  after: bigint,
  onlyNew = false,
): AsyncGenerator<Event> {
  const baseUrl = `http://${endpoint}`;
  // Pings tell a connection that says nothing from one that is gone.
  const sessionManager = new Http2SessionManager(baseUrl, { pingIntervalMs: 30_000 });
  const client = createClient(HistoryService, createGrpcTransport({ baseUrl, sessionManager }));
  try {
    yield* again();
  } finally {
    sessionManager.abort();
  }

  async function* again(): AsyncGenerator<Event> {
    for (let failures = 0; ; failures++) {
      try {
        for await (const { event, sequence } of client.watchEvents({ filter, after, onlyNew })) {
          failures = 0;
          // From here on it is gone on with behind what was told, also by a sign of life: it says how far there is
          // nothing, so that nobody looks through that again.
          after = sequence;
          onlyNew = false;
          if (event) yield event;
        }
      } catch (error) {
        if (!(error instanceof ConnectError) || !passing.has(error.code)) throw error;
        console.error(`${Code[error.code]} behind ${after}: ${error.rawMessage}`);
      }
      await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]);
    }
  }
}

/** An event as JSON: where it is, when it was, whose, and its facts. */
export function describe(event: Event) {
  return {
    stream: event.stream,
    sequence: event.sequence.toString(),
    of: event.parts,
    position: event.position.toString(),
    recorded_at: event.recordedAt && timestampDate(event.recordedAt).toISOString(),
    by: event.actor?.subject,
    unreadable: event.unreadable || undefined,
    facts: event.facts.map(({ type, message }) => {
      const fact = message && anyUnpack(message, types);
      const schema = fact && types.getMessage(fact.$typeName);
      return fact && schema ? { fact: type, ...Object(toJson(schema, fact, { registry: types })) } : { fact: type };
    }),
  };
}
