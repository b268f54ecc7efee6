"""Start the command line with `python -m portcullis`."""

from portcullis.mains.command import main

if __name__ == "__main__":
    main()
