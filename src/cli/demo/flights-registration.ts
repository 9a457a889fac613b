/** What the demo's data officers register about their flights: the same facts at each holder. */
import { DatasetRegistrationSchema, type DatasetRegistration } from '../../catalog/dataset.ts';
import { bandLabels, hourLabels, monthLabels } from '../../catalog/derive.ts';

export const FLIGHT_TABLES = ['departures', 'arrivals'] as const;
export type FlightTable = (typeof FLIGHT_TABLES)[number];

/** Miles. */
const DISTANCE_EDGES = ['250', '500', '750', '1000', '1500', '2000', '2500'];

/** Minutes, from a day early to two days late: wide enough that no value (−1116 … 1688) is clamped. */
const DELAY_BOUNDS = { minimum: '-1440', maximum: '2880', scale: 0 };
/** Miles; the longest domestic flight of the data is 4,962. */
const DISTANCE_BOUNDS = { minimum: '0', maximum: '6000', scale: 0 };

const TITLES: Record<FlightTable, { zh: string; en: string }> = {
  departures: { zh: '离港航班', en: 'Departing flights' },
  arrivals: { zh: '到港航班', en: 'Arriving flights' },
};

/** No partition of a table is coarser than another: cells withheld in one could be told by the other. */
const PARTITIONS: Record<FlightTable, string[][]> = {
  departures: [['hour'], ['dayOfWeek'], ['month', 'distanceBand']],
  arrivals: [['hour'], ['dayOfWeek'], ['distanceBand']],
};

const PARTITION = ['group', 'filter'];
const MEASURED = ['sum', 'avg', 'var'];

const STORED_COLUMNS = [
  {
    name: 'date',
    title: { zh: '起飞时间', en: 'Departure time' },
    type: 'timestamp',
    usage: [],
  },
  {
    name: 'delay',
    title: { zh: '延误（分钟）', en: 'Delay (minutes)' },
    type: 'integer',
    usage: MEASURED,
    bounds: DELAY_BOUNDS,
  },
  {
    name: 'distance',
    title: { zh: '航程（英里）', en: 'Distance (miles)' },
    type: 'integer',
    usage: MEASURED,
    bounds: DISTANCE_BOUNDS,
  },
  { name: 'origin', title: { zh: '始发机场', en: 'Origin' }, type: 'text', usage: [] },
  {
    name: 'destination',
    title: { zh: '目的机场', en: 'Destination' },
    type: 'text',
    usage: [],
  },
];

/** A flight's distance in bands of miles. */
export const DISTANCE_BAND = {
  name: 'distanceBand',
  title: { zh: '航程区间（英里）', en: 'Distance band (miles)' },
  type: 'text',
  derived: { derive: 'band', from: 'distance', edges: DISTANCE_EDGES },
  labels: bandLabels(DISTANCE_EDGES),
} as const;

const DERIVED_COLUMNS = [
  {
    name: 'hour',
    title: { zh: '时段', en: 'Hour of day' },
    type: 'text',
    derived: { derive: 'hour', from: 'date' },
    usage: PARTITION,
    labels: hourLabels(),
  },
  {
    name: 'dayOfWeek',
    title: { zh: '星期', en: 'Day of week (1 = Monday)' },
    type: 'text',
    derived: { derive: 'day-of-week', from: 'date' },
    usage: PARTITION,
    labels: ['1', '2', '3', '4', '5', '6', '7'],
  },
  {
    name: 'month',
    title: { zh: '月份', en: 'Month' },
    type: 'text',
    derived: { derive: 'month', from: 'date' },
    usage: PARTITION,
    labels: monthLabels('2001-01', '2001-06'),
  },
  { ...DISTANCE_BAND, usage: PARTITION },
];

/** The registration of one table; it lies next to `<table>.parquet`. */
export function flightsRegistration(table: FlightTable): DatasetRegistration {
  return DatasetRegistrationSchema.parse({
    format: 'weir-dataset/1',
    name: table,
    title: TITLES[table],
    grade: 'general',
    personalInformation: 'none',
    legalBasis: 'Published flight statistics of the first half of 2001; no personal information.',
    source: { kind: 'duckdb', format: 'parquet', files: [`${table}.parquet`] },
    partitions: PARTITIONS[table],
    columns: [...STORED_COLUMNS, ...DERIVED_COLUMNS],
  });
}
