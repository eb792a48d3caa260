"""Sample records -> contracts: what values were seen, what that says of a contract, and a project that reads them.

Pure but for `samples`, which reads, and `project`, which writes.
"""
