-- One row per index event, outcome and school term (0: the terms together): the percentage of possible sessions missed
-- without authorisation, of measure term_absence or pooled_absence, with the day on which its follow-up ends. Null in a
-- term that could not be measured (definitions, section 5).

with
windows as (

    select * from {{ ref('int_outcome_windows') }}
    where n_terms is not null

),

index_terms as (

    select * from {{ ref('int_index_terms') }}

),

by_term as (

    select
        windows.index_event_no,
        windows.outcome,
        index_terms.term_no as term,
        case
            when index_terms.is_measurable then 100.0 * index_terms.n_unauthorised / index_terms.n_possible
        end as value,
        index_terms.term_end as follow_up_end
    from windows
    inner join index_terms
        on
            windows.index_event_no = index_terms.index_event_no
            and windows.n_terms >= index_terms.term_no
    where windows.measure = 'term_absence' and index_terms.is_at_school

),

together as (

    select
        windows.index_event_no,
        windows.outcome,
        cast(0 as integer) as term,
        case
            -- A term that was collected but not landed leaves the whole incomplete.
            when not bool_or(index_terms.is_collected and not index_terms.is_measurable)
                then 100.0
                * sum(case when index_terms.is_measurable then index_terms.n_unauthorised end)
                / sum(index_terms.n_possible)
        end as value,
        -- Also a term in which the child was not at school must be over before that can be known.
        max(case when index_terms.is_collected then index_terms.term_end end) as follow_up_end
    from windows
    inner join index_terms
        on
            windows.index_event_no = index_terms.index_event_no
            and windows.n_terms >= index_terms.term_no
    where windows.measure = 'pooled_absence'
    group by windows.index_event_no, windows.outcome

),

final as (

    select * from by_term

    union all

    select * from together

)

select * from final
