"""From a folder that people drop files in to files that are complete and ours to read.

Watch, ignore, settle.
"""
