import logging
import sys

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s - %(levelname)s - %(message)s")


def init_logging(loggername):
    return logging.getLogger("keylime." + loggername)


def log_http_response(logger, loglevel, response_body):
    logger.log(loglevel, "%s", response_body)
