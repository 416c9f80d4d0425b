"""The tables of the company."""

from __future__ import annotations

from coterie.storage import Schema

SCHEMA = Schema(
    "telco",
    (
        """
        CREATE TABLE telco_packages (
            id TEXT PRIMARY KEY, name TEXT NOT NULL, data_gb BIGINT, minutes BIGINT, price BIGINT NOT NULL,
            months BIGINT NOT NULL, roaming TEXT NOT NULL
        );
        CREATE TABLE telco_addons (id TEXT PRIMARY KEY, name TEXT NOT NULL, price BIGINT NOT NULL);
        CREATE TABLE telco_countries (country TEXT PRIMARY KEY, zone TEXT NOT NULL);
        CREATE TABLE telco_passes (
            id TEXT PRIMARY KEY, zone TEXT NOT NULL, name TEXT NOT NULL, days BIGINT NOT NULL, data_gb BIGINT NOT NULL,
            price BIGINT NOT NULL
        );
        CREATE TABLE telco_customers (
            number TEXT PRIMARY KEY, name TEXT NOT NULL, package TEXT NOT NULL REFERENCES telco_packages (id),
            contract TEXT NOT NULL, contract_ends TEXT NOT NULL, status TEXT NOT NULL DEFAULT 'active',
            credit BIGINT NOT NULL, used_mb BIGINT NOT NULL, alert_percent BIGINT, alert_mb BIGINT
        );
        CREATE TABLE telco_customer_addons (number TEXT NOT NULL, addon TEXT NOT NULL, since TEXT NOT NULL,
            PRIMARY KEY (number, addon));
        CREATE TABLE telco_customer_passes (key TEXT PRIMARY KEY, number TEXT NOT NULL, pass TEXT NOT NULL, until TEXT NOT NULL);
        CREATE TABLE telco_bills (number TEXT NOT NULL, month TEXT NOT NULL, place BIGINT NOT NULL, item TEXT NOT NULL,
            amount BIGINT NOT NULL, PRIMARY KEY (number, month, place));
        CREATE TABLE telco_codes (namespace TEXT PRIMARY KEY, number TEXT NOT NULL, salt TEXT NOT NULL, digest TEXT NOT NULL,
            expires_at DOUBLE PRECISION NOT NULL, tries BIGINT NOT NULL);
        CREATE TABLE telco_code_requests (number TEXT NOT NULL, at DOUBLE PRECISION NOT NULL);
        CREATE TABLE telco_sessions (namespace TEXT PRIMARY KEY, number TEXT NOT NULL, expires_at DOUBLE PRECISION NOT NULL);
        CREATE TABLE telco_changes (key TEXT PRIMARY KEY, number TEXT NOT NULL, action TEXT NOT NULL, before TEXT NOT NULL,
            said TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, undone BIGINT NOT NULL DEFAULT 0);
        """,
    ),
)
"""Money is in pence, data in megabytes or gigabytes, days are ISO dates, moments are wall time in seconds.

`telco_changes` has a line for each thing done, by its idempotency key, written in the transaction that does it: what is
not there has not happened.
"""
