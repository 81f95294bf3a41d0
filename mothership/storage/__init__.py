"""Storage on SQLite: tables, transactions, and the queries of each subject.

Functions take an open connection, so that what belongs together is one transaction of the caller.
"""
