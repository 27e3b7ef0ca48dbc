{#- Linear interpolation of reporting periods that are missing, ends carried (definitions, section 6). The rows carry
    n_seen_so_far and n_seen_from_here, which number the runs between values seen. -#}

{#- Columns with the position and value of the nearest value seen before and after. -#}
{%- macro nearest_in_run(position, value_seen, partition_by) -%}
    {%- for side, run in [('previous', 'n_seen_so_far'), ('next', 'n_seen_from_here')] -%}
    max(case when {{ value_seen }} is not null then {{ position }} end) over (
            partition by {{ partition_by }}, {{ run }}
        ) as {{ side }}_position,
        max({{ value_seen }}) over (partition by {{ partition_by }}, {{ run }}) as {{ side }}_value
        {{- ',\n        ' if not loop.last }}
    {%- endfor -%}
{%- endmacro -%}

{#- The value seen, or the one on the line between its neighbours, or the nearest at the ends. -#}
{%- macro interpolated(position, value_seen) -%}
    cast(
            case
                when {{ value_seen }} is not null then {{ value_seen }}
                when previous_value is null then next_value
                when next_value is null then previous_value
                else
                    previous_value
                    + (next_value - previous_value)
                    * ({{ position }} - previous_position)
                    / cast(next_position - previous_position as double)
            end as double
        )
{%- endmacro -%}
