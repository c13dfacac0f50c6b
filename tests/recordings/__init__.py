"""What a real cluster said of Jobs and pods that could not start or were ended, recorded.

``record.py`` makes the files; nobody edits them.
"""
