"""Exercises, quizzes and what a learner has done: asked here, judged here or in `course.grading`."""
