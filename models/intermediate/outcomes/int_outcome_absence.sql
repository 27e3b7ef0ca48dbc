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

terms_added_up as (

    select
        windows.index_event_no,
        windows.outcome,
        bool_or(index_terms.is_collected and not index_terms.is_measurable) as is_term_not_landed,
        sum(index_terms.n_possible) as n_possible,
        sum(case when index_terms.is_measurable then index_terms.n_unauthorised end) as n_unauthorised,
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

together as (

    select
        index_event_no,
        outcome,
        cast(0 as integer) as term,
        -- A term that was collected but not landed leaves the whole incomplete.
        case when not is_term_not_landed then 100.0 * n_unauthorised / n_possible end as value,
        follow_up_end
    from terms_added_up

),

final as (

    select * from by_term

    union all

    select * from together

)

select * from final
