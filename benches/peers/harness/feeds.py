"""Telemetry for the workloads with state, where what matters is how much there is of it: values that wander within
their range, the same in every run.

All assets send their first reading before any sends its second one, and each asset goes to the partition that Kafka's
own partitioner gives it.
"""

import numpy as np
import orjson
from confluent_kafka import Producer

# 2026-01-01, a multiple of 10 s.
BEGIN = 1_767_225_600

# (signal, lowest, highest, digits behind the point): cars as `forewarn feed cars` has them, engines as in FD001.
CAR = [
    ("coolant_temp", 20.0, 60.0, 5),
    ("intake_air_temp", 15.0, 40.0, 5),
    ("intake_air_flow_speed", 50.0, 130.0, 5),
    ("battery_percentage", 0.1, 1.0, 7),
    ("battery_voltage", 200.0, 260.0, 5),
    ("current_draw", 0.5, 20.0, 6),
    ("speed", 5.0, 50.0, 6),
    ("engine_vibration_amplitude", 500.0, 5000.0, 4),
    ("throttle_pos", 0.0, 1.0, 7),
    ("tire_pressure_1_1", 25.0, 35.0, 0),
    ("tire_pressure_1_2", 25.0, 35.0, 0),
    ("tire_pressure_2_1", 25.0, 35.0, 0),
    ("tire_pressure_2_2", 25.0, 35.0, 0),
    ("accelerometer_1_1_value", 0.0, 2.0, 7),
    ("accelerometer_1_2_value", 0.0, 2.0, 7),
    ("accelerometer_2_1_value", 0.0, 2.0, 7),
    ("accelerometer_2_2_value", 0.0, 2.0, 7),
    ("control_unit_firmware", 1000.0, 2000.0, 0),
]
ENGINE = [
    ("T24", 641.0, 645.0, 2),
    ("T30", 1571.0, 1617.0, 2),
    ("T50", 1382.0, 1442.0, 2),
    ("P30", 549.0, 557.0, 2),
    ("Nf", 2387.8, 2388.6, 2),
    ("Nc", 9021.0, 9245.0, 2),
    ("Ps30", 46.8, 48.6, 2),
    ("phi", 518.0, 524.0, 2),
    ("NRf", 2387.8, 2388.6, 2),
    ("NRc", 8099.0, 8294.0, 2),
    ("BPR", 8.32, 8.59, 4),
    ("htBleed", 388.0, 400.0, 0),
    ("W31", 38.1, 39.5, 2),
    ("W32", 22.8, 23.7, 4),
]


def cars(brokers, topic, assets, steps):
    """A reading of each car a second."""
    publish(brokers, topic, CAR, "car", "car", assets, steps, lambda step: BEGIN + step)


def engines(brokers, topic, assets, steps):
    """A reading of each engine an hour."""
    publish(brokers, topic, ENGINE, "asset", "engine-", assets, steps, lambda step: (BEGIN + step * 3600) * 1000)


def publish(brokers, topic, signals, field, prefix, assets, steps, time):
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 20,
            "enable.idempotence": True,
            "queue.buffering.max.messages": 200_000,
            "delivery.report.only.error": True,
        }
    )
    names = [f"{prefix}{number + 1}" for number in range(assets)]
    for step in range(steps):
        for name, values in zip(names, zip(*wandering(signals, assets, step))):
            reading = {field: name, "time": time(step)}
            reading.update(values)
            send(producer, topic, name, orjson.dumps(reading))
    if producer.flush(120):
        raise RuntimeError("the broker does not take what is fed")


def wandering(signals, assets, step):
    """Of each signal a column of (name, value): a wave of the asset's own, and noise of the step's."""
    random = np.random.default_rng(step)
    phase = np.arange(assets) * 0.7 + step * 0.05
    for number, (name, low, high, digits) in enumerate(signals):
        share = 0.5 + 0.4 * np.sin(phase + number) + random.uniform(-0.1, 0.1, assets)
        column = np.round(low + share * (high - low), digits).tolist()
        yield [(name, int(value) if digits == 0 else value) for value in column]


def send(producer, topic, key, value):
    while True:
        try:
            return producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.1)
