"""Questions to other annotation tools, and their answers back as corrections."""

from visionkit.flywheel.exchange.question import Question
from visionkit.flywheel.exchange.questions import TOOLS, questions_about, write_questions
from visionkit.flywheel.exchange.taking import Taken, take_answers

__all__ = ["TOOLS", "Question", "Taken", "questions_about", "take_answers", "write_questions"]
